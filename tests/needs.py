"""What tests need that Python cannot install: without it they are skipped, and fail in continuous integration."""

import os
import shutil
from typing import NoReturn

import pytest

PACKAGES = {"node": "nodejs"}  # Debian's, where it is not called as the program


def need(program: str, untested: str) -> str:
    """Where the program is; without it `untested`, "the pages" say, is what the skip or the failure tells of."""
    path = shutil.which(program)
    if path is None:
        lacks(f"{program} is not installed (apt-get install {PACKAGES.get(program, program)})", untested)
    return path


def lacks(what: str, untested: str) -> NoReturn:
    """Skip the test; in continuous integration, fail it."""
    told = f"{what}: NOT tested: {untested}"
    if os.environ.get("CI"):
        pytest.fail(told)
    pytest.skip(told)
