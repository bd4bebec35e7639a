"""The playground's modules, by node's own test runner."""

import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.mark.skipif(not shutil.which("node"), reason="no node on this machine")
def test_the_modules_of_the_playground_do_what_they_say() -> None:
    done = subprocess.run(
        ["node", "--test", Path(__file__).parent / "modules.test.mjs"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
