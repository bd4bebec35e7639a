"""What the README shows is what happens."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.e2e.examples import assert_sessions, blocks, checkout, run, sessions
from tests.e2e.server import running

pytestmark = pytest.mark.e2e

README = (ROOT / "README.md").read_text()


def test_the_commands_print_what_is_shown(service: str, tmp_path: Path) -> None:
    assert sum("curl" in command for session in sessions(README) for command, _ in session) >= 3
    assert_sessions(README, service, tmp_path)


def test_the_training_commands_make_a_checkpoint(tmp_path: Path, mnist: Path) -> None:
    """As they stand but for two epochs on the digits at hand; what is installed and fetched is here already."""
    (block,) = blocks(README, "bash")
    assert block == blocks((ROOT / "docs" / "training.md").read_text(), "bash")[0]
    install, fetch, train, evaluate, serve = block.strip().splitlines()
    assert install == ".venv/bin/pip install -c constraints.txt -e '.[train]'"
    assert fetch == ".venv/bin/reparam data fetch --to data/mnist"
    checkout(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mnist").symlink_to(mnist)
    recipe = (ROOT / "models" / "recipes" / "mnist-mlp.toml").read_text()
    short = re.sub(r"epochs = \d+", "epochs = 2", re.sub(r"validation = \d+", "validation = 200", recipe))
    (tmp_path / "short.toml").write_text(short)
    run(train.replace("models/recipes/mnist-mlp.toml", "short.toml"), tmp_path)
    assert "test_nll_nats" in run(evaluate + " --samples 2", tmp_path)
    assert "test_nll_nats" in (tmp_path / "runs" / "mine" / "checkpoint" / "config.json").read_text()
    assert serve == ".venv/bin/reparam serve --model runs/mine/checkpoint --port 8001  # beside `make serve`"
    with running("--model", str(tmp_path / "runs" / "mine" / "checkpoint")):
        pass


def test_every_make_target_that_is_shown_is_there() -> None:
    pages = [README, *(path.read_text() for path in (ROOT / "docs").rglob("*.md"))]
    shown = {name for page in pages for name in re.findall(r"^(?:\$ )?(?:\w+=\S+ )*make ([\w-]+)", page, re.MULTILINE)}
    assert shown >= {"serve", "test"}
    for target in sorted(shown):
        end = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
        assert end.returncode == 0, shlex.join(["make", target])
