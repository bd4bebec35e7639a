"""Memory that is freed and asked for again."""

import ctypes
import platform
import subprocess
import sys

import pytest

from app.cli.memory import keep_freed_memory

PROGRAM = """
import resource
from app.cli.memory import keep_freed_memory
{before}
began = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    bytearray(b"x") * 2**26
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - began)
"""


def page_faults(before: str = "") -> int:
    """How often the system had to give a page, to a program that fills a buffer of 64 MiB ten times over."""
    end = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(before=before)], capture_output=True, text=True, check=True
    )
    return int(end.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep memory")
def test_a_buffer_that_was_freed_serves_the_next() -> None:
    assert page_faults("keep_freed_memory()") < 0.2 * page_faults()


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())  # a library without any of glibc's functions
    keep_freed_memory()
