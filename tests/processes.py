"""Processes of their own for what kills, limits or interrupts them.

They are forked from one process that has imported what they need, so that a test may start many.
"""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "app.cli.commands",
        "app.cli.training_bar",
        "app.engine",
        "app.settings",
        "models.data",
        "models.evaluation.report",
        "models.training",
        "typer.rich_utils",
    ]
)


class Finished(NamedTuple):
    """How a command ended."""

    status: int  # negative: the signal that killed it
    stdout: str
    stderr: str


def start(function: Callable[..., object], *arguments: object) -> BaseProcess:
    """Begin a call in a process of its own."""
    process = FORKS.Process(target=function, args=arguments)
    process.start()
    return process


def start_writer(function: Callable[[Path], object], folder: Path, written: Path) -> BaseProcess:
    """Begin a call that writes a file or folder again and again, of which one is there; it was written once."""
    before = written.stat().st_mtime_ns
    process = start(function, folder)
    while written.stat().st_mtime_ns == before:
        assert process.is_alive()
        time.sleep(0.001)
    return process


def start_reparam(
    arguments: list[str], output: Path, file_bytes: int | None = None, folder: Path | None = None
) -> BaseProcess:
    """Begin `reparam`, its output in two files of the folder `output`, or on the terminal `output`.

    Args:
        file_bytes: how large any file may become.
        folder: where it works; left out, where the tests do.
    """
    return start(_reparam, arguments, output, file_bytes, folder)


def run_reparam(
    arguments: list[str], output: Path, file_bytes: int | None = None, folder: Path | None = None
) -> Finished:
    """Run `reparam` to its end."""
    process = start_reparam(arguments, output, file_bytes, folder)
    process.join()
    return finished(process, output)


def finished(process: BaseProcess, output: Path) -> Finished:
    """How a process that has ended did, and what it said."""
    assert process.exitcode is not None
    stdout, stderr = ((output / name).read_text() if (output / name).exists() else "" for name in ("stdout", "stderr"))
    return Finished(process.exitcode, stdout, stderr)


def _reparam(arguments: list[str], output: Path, file_bytes: int | None, folder: Path | None) -> None:
    import resource

    from app.cli import main

    signal.signal(signal.SIGINT, signal.default_int_handler)  # the forking process ignores it
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        path = output / name if output.is_dir() else output
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOCTTY, 0o644), descriptor)
    os.environ |= ENVIRONMENT
    if folder is not None:
        os.chdir(folder)
    if file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    sys.argv = ["reparam", *arguments]
    main()


# No checkout, whose commit a person at work may change between two runs; no GPU, which rounds otherwise; and a terminal
# of a known width.
ENVIRONMENT: Mapping[str, str] = {"GIT_DIR": os.devnull, "CUDA_VISIBLE_DEVICES": "", "TERM": "xterm", "COLUMNS": "200"}
