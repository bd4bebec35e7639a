"""The playground's modules that need no browser, by node's own test runner."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.needs import need

TESTS = sorted(Path(__file__).parent.glob("*.test.mjs"))


@pytest.mark.parametrize("test", TESTS, ids=lambda test: test.name)
def test_the_modules_of_the_playground_do_what_they_say(test: Path, tmp_path: Path) -> None:
    node = need("node", "the playground's modules")
    # To node of before 20.19 a .js file is a module only where a package.json says so, which the page does not need.
    (tmp_path / "package.json").write_text('{"type": "module"}')
    shutil.copytree(ROOT / "app" / "web", tmp_path / "app" / "web")
    copy = tmp_path / "tests" / "web" / test.name
    copy.parent.mkdir(parents=True)
    shutil.copy(test, copy)
    done = subprocess.run([node, "--test", copy], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
