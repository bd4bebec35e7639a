"""What the README shows is what happens."""

import re
import shlex
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.e2e.server import running

pytestmark = pytest.mark.e2e

NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
# Another processor rounds otherwise.
TOLERANCE = 2e-3


def _sessions(readme: str) -> list[list[tuple[str, str]]]:
    """The commands of each of the README's `console` blocks, with the output shown under each."""
    sessions = []
    for block in re.findall(r"```console\n(.*?)```", readme, re.DOTALL):
        session = []
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = part.replace("\\\n", "").split("\n", 1)
            session.append((lines[0], lines[1].strip() if len(lines) > 1 else ""))
        sessions.append(session)
    return sessions


def _settings(session: list[tuple[str, str]]) -> dict[str, str]:
    """What the session starts its service with: `NAME=value ... make serve`."""
    first, _ = session[0]
    return dict(word.split("=", 1) for word in shlex.split(first)[:-2]) if first.endswith(" make serve") else {}


def _agree(shown: str, happened: str) -> bool:
    """Alike but for the last digits of numbers; `...` stands for anything."""
    pattern = re.escape(NUMBER.sub("\0", shown)).replace(re.escape("..."), ".*?").replace("\0", f"({NUMBER.pattern})")
    match = re.fullmatch(pattern.replace("\\\x00", f"({NUMBER.pattern})"), happened, re.DOTALL)
    if match is None:
        return False
    numbers = zip(NUMBER.findall(shown), match.groups(), strict=True)
    return all(abs(float(a) - float(b)) <= TOLERANCE for a, b in numbers)


def test_the_comparison_can_fail() -> None:
    assert _agree("[1.0012, ...] a", "[1.0013, 2.5] a")
    assert not _agree("[1.0, ...]", "[1.1, 2.5]")
    assert not _agree("yes", "no")


def test_the_commands_print_what_is_shown(tmp_path: Path) -> None:
    sessions = _sessions((ROOT / "README.md").read_text())
    assert sum("curl" in command for session in sessions for command, _ in session) >= 3
    _checkout(tmp_path)
    with ExitStack() as stack:
        plain, _ = stack.enter_context(running())
        for session in sessions:
            settings = _settings(session)
            url = stack.enter_context(running(**settings))[0] if settings else plain
            for command, shown in session:
                if command.endswith(("make serve", "make test")):
                    continue  # the fresh clone's test and this run itself are those
                happened = _run(command.replace("http://127.0.0.1:8000", url), tmp_path)
                assert _agree(shown, happened), f"{command}\nshown:\n{shown}\nhappened:\n{happened}"


def test_the_python_example_prints_what_is_shown() -> None:
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    shown = program.rstrip().rpartition("# ")[2]
    with running("--model", "mnist-mlp") as (url, _):
        here = program.replace("127.0.0.1:8000", url.removeprefix("http://"))
        end = subprocess.run([sys.executable, "-c", here], capture_output=True, text=True, timeout=60)
    assert (end.stdout.strip(), end.returncode) == (shown, 0), end.stderr


def test_the_training_commands_make_a_checkpoint(tmp_path: Path, mnist: Path) -> None:
    """As they stand but for two epochs on the digits at hand; what is installed and fetched is here already."""
    (block,) = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    install, fetch, train, evaluate, serve = block.strip().splitlines()
    assert install == ".venv/bin/pip install -c constraints.txt -e '.[train]'"
    assert fetch == ".venv/bin/reparam data fetch --to data/mnist"
    _checkout(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mnist").symlink_to(mnist)
    recipe = (ROOT / "models" / "recipes" / "mnist-mlp.toml").read_text()
    short = re.sub(r"epochs = \d+", "epochs = 2", re.sub(r"validation = \d+", "validation = 200", recipe))
    (tmp_path / "short.toml").write_text(short)
    _run(train.replace("models/recipes/mnist-mlp.toml", "short.toml"), tmp_path)
    assert "test_nll_nats" in _run(evaluate + " --samples 2", tmp_path)
    assert "test_nll_nats" in (tmp_path / "runs" / "mine" / "checkpoint" / "config.json").read_text()
    assert serve == ".venv/bin/reparam serve --model runs/mine/checkpoint"
    with running("--model", str(tmp_path / "runs" / "mine" / "checkpoint")):
        pass


def _checkout(folder: Path) -> None:
    """What a clone after `make serve` has, without its own copy."""
    for name in ("app", "models", "tests"):
        (folder / name).symlink_to(ROOT / name)
    (folder / ".venv").symlink_to(Path(sys.executable).parent.parent)


def _run(command: str, folder: Path) -> str:
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "COLUMNS": "200"}
    end = subprocess.run(
        ["bash", "-ec", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert end.returncode == 0, (command, end.stdout, end.stderr)
    return end.stdout.strip()


def test_every_make_target_that_is_shown_is_there() -> None:
    for command in re.findall(r"^(?:\$ )?(?:\w+=\w+ )*make (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE):
        end = subprocess.run(["make", "-n", command], cwd=ROOT, capture_output=True, text=True)
        assert end.returncode == 0, shlex.join(["make", command])
