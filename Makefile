# Every target works on a fresh machine: it makes the virtual environment it needs.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# CPU builds of torch. Where the index cannot be reached pip goes on with what it has.
TORCH_INDEX_URL ?= https://download.pytorch.org/whl/cpu
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --retries 2 -c constraints.txt

.PHONY: serve test axe docs check format bench bench-serving screenshots lock clean

# make serve HOST=0.0.0.0 PORT=9000; some shells export HOST, the machine's name, which is not meant.
serve: $(VENV)/.serve
	exec $(BIN)/reparam serve $(if $(filter command%,$(origin HOST)),--host $(HOST)) $(if $(PORT),--port $(PORT))

# Half of the time is waited for servers and browsers to start, so that a process a core, up to four, is well used. A file is one
# process's, in the order of collection: what its tests share is made once, and the longest come before the last.
# make test ARGS='-n 0 tests/app' tests without further processes.
test: $(VENV)/.dev axe
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

# What the browser tests load; without npm they skip what needs it, but fail in continuous integration.
axe:
	@cd tests/e2e && if command -v npm >/dev/null && [ ! node_modules -nt package.json ]; then \
	  npm install --no-package-lock --no-audit --no-fund --loglevel=error && touch node_modules || true; fi

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The documentation as a site, site/index.html. mkdocs-material tells of MkDocs' future at every build, unless it is told not to.
docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks

# Takes three quarters of an hour, most of it the soak; ARGS='--soak-minutes 2' takes less.
bench-serving: $(VENV)/.dev
	$(BIN)/python -m benchmarks.serving $(ARGS)

# The playground as it is, for the README; needs Debian's chromium.
screenshots: $(VENV)/.dev
	$(BIN)/python -m scripts.screenshots

# Pins every package, the transitive ones too, at what a fresh environment resolves to today.
lock:
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet $(if $(TORCH_INDEX_URL),--extra-index-url $(TORCH_INDEX_URL)) torch==2.13.0
	.venv-lock/bin/pip install --quiet '.[dev]'
	.venv-lock/bin/pip freeze --all | grep -v -E '^(pip|reparam)( |=)' | sed 's/+cpu$$//' >constraints.txt
	rm -rf .venv-lock

clean:
	rm -rf $(VENV) site tests/e2e/node_modules

$(VENV)/.torch: constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}"'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) $(if $(TORCH_INDEX_URL),--extra-index-url $(TORCH_INDEX_URL)) torch
	touch $@

$(VENV)/.serve: $(VENV)/.torch pyproject.toml
	$(PIP) -e .
	touch $@

$(VENV)/.dev: $(VENV)/.torch pyproject.toml
	$(PIP) -e '.[dev]'
	touch $@
