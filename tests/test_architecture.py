"""The rules that hold between the folders, and between the service and what it must not need."""

import subprocess
import sys
import tomllib
from pathlib import Path

from scripts.settings_table import table
from tests.conftest import ROOT

BIN = Path(sys.executable).parent


def test_imports_run_one_way() -> None:
    end = subprocess.run([BIN / "lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert end.returncode == 0, end.stdout + end.stderr


def test_only_the_service_imports_fastapi_and_only_models_and_the_networks_import_torch() -> None:
    for path in [*ROOT.glob("app/**/*.py"), *ROOT.glob("models/**/*.py")]:
        text = path.read_text()
        if path.is_relative_to(ROOT / "models"):
            assert "fastapi" not in text and "import app" not in text and "from app" not in text, path
            assert "os.environ" not in text and "getenv" not in text, path
        elif path not in (ROOT / "app" / "network.py", ROOT / "app" / "compiled.py"):
            assert "import torch" not in text and "from torch" not in text, path


def test_serving_loads_nothing_that_only_training_or_testing_needs() -> None:
    program = (
        "import sys, app.main, app.cli.commands; app.main.create_app();"
        "print(*sorted({m.split('.')[0] for m in sys.modules} | {m for m in sys.modules if m.startswith('models.')}))"
    )
    loaded = set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    )
    forbidden = {
        "httpx",
        "tensorboard",
        "pytest",
        "sklearn",
        "scipy",
        "models.training",
        "models.evaluation",
        "models.data",
    }
    assert "torch" in loaded and not loaded & forbidden


def test_the_command_line_answers_without_waiting_for_torch() -> None:
    program = "import sys, app.cli.commands; sys.exit('torch' in sys.modules or 'fastapi' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_a_mistake_in_the_settings_is_told_without_waiting_for_torch() -> None:
    program = (
        "import sys, app.cli.commands\n"
        "try: app.cli.commands.cli(['serve', '--port', '0'], standalone_mode=False)\n"
        "except Exception as error: print(error, 'torch' in sys.modules)"
    )
    environment = {"REPARAM_API_KEYS": "guess-me"}
    end = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert end.stdout.startswith("REPARAM_API_KEYS: expected") and end.stdout.endswith(" False\n")


def test_the_pins_cover_every_installed_package() -> None:
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split())
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"torch=={pinned['torch']}" in declared["dependencies"]
    pip = [sys.executable, "-m", "pip", "freeze", "--all", "--exclude-editable"]
    freeze = subprocess.run(pip, capture_output=True, text=True, check=True).stdout
    installed = dict(line.split("==") for line in freeze.split() if "==" in line)
    canonical = {name.lower().replace("_", "-").replace(".", "-"): version for name, version in pinned.items()}
    for name, version in installed.items():
        key = name.lower().replace("_", "-").replace(".", "-")
        if key not in ("pip", "reparam"):
            assert canonical.get(key) == version.partition("+")[0], f"{name}: pin it with `make lock`"


def test_the_dockerfile_keeps_the_rules() -> None:
    end = subprocess.run([BIN / "hadolint", ROOT / "Dockerfile"], capture_output=True, text=True)
    assert end.returncode == 0, end.stdout


def test_the_documentation_has_every_setting() -> None:
    assert table() in (ROOT / "docs" / "configuration.md").read_text(), "run: python -m scripts.settings_table"


def test_a_worker_has_imported_what_is_large_before_it_is_forked() -> None:
    program = (
        "import app.preload, asyncio, sys; before = set(sys.modules)\n"
        "from app.main import create_app; from app.settings import Settings\n"
        "app = create_app(Settings(models='mnist-mlp'))\n"
        "async def start():\n"
        "    async with app.router.lifespan_context(app):\n"
        "        print(*{name for name in set(sys.modules) - before})\n"
        "asyncio.run(start())"
    )
    new = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    heavy = {"torch", "numpy", "fastapi", "starlette", "pydantic", "prometheus_client", "uvicorn", "models", "app"}
    assert {name for name in new.split() if name.partition(".")[0] in heavy} <= {"torch.utils._device"}
