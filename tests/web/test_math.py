"""The playground's arithmetic, by node's own test runner."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
MATH = HERE.parent.parent / "app" / "web" / "math"


@pytest.mark.skipif(not shutil.which("node") and not os.environ.get("CI"), reason="node is not installed")
def test_the_arithmetic_of_the_playground_agrees_with_closed_forms(tmp_path: Path) -> None:
    # To node of before 20.19 a .js file is a module only where a package.json says so, which the page does not need.
    shutil.copytree(MATH, tmp_path / "app" / "web" / "math")
    test = tmp_path / "tests" / "web" / "math.test.mjs"
    test.parent.mkdir(parents=True)
    shutil.copy(HERE / test.name, test)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    done = subprocess.run(["node", "--test", test], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
