"""The playground's modules that need no browser, by node's own test runner."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

HERE = Path(__file__).resolve().parent


@pytest.mark.skipif(not shutil.which("node") and not os.environ.get("CI"), reason="node is not installed")
@pytest.mark.parametrize("tests", sorted(path.name for path in HERE.glob("*.test.mjs")))
def test_they_do_what_they_say(tests: str, tmp_path: Path) -> None:
    # To node of before 20.19 a .js file is a module only where a package.json says so, which the page does not need.
    (tmp_path / "package.json").write_text('{"type": "module"}')
    shutil.copytree(ROOT / "app" / "web", tmp_path / "app" / "web")
    copy = tmp_path / "tests" / "web" / tests
    copy.parent.mkdir(parents=True)
    shutil.copy(HERE / tests, copy)
    done = subprocess.run(["node", "--test", copy], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
