"""The playground's arithmetic, by node's own test runner."""

import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.mark.skipif(not shutil.which("node"), reason="no node on this machine")
def test_the_arithmetic_of_the_playground_agrees_with_closed_forms() -> None:
    done = subprocess.run(
        ["node", "--test", Path(__file__).parent / "math.test.mjs"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
