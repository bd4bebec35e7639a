"""The process that workers are forked from, and what it takes to start a process and to learn of its end."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import Pipe, get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from threading import Thread
from typing import Any

SETTLE_S = 5  # until what is being imported is, or is given up
HELD = {signal.SIGHUP, signal.SIGINT, signal.SIGTERM}  # signals that a process hears once it knows what to do

# Workers are forked from a process that has imported what they need: each shares that memory with the others, and is
# there in a third of a second. Elsewhere than on Linux what torch has loaded may not survive a fork: each is its own.
context: Any = get_context("forkserver" if sys.platform == "linux" else "spawn")
context.set_forkserver_preload(["app.preload"])


@contextmanager
def held_back() -> Iterator[None]:
    """A process that is started meanwhile hears no signal until it wants to: it would die of one, or not end well."""
    resource_tracker.ensure_running()  # which lets signals through when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def be_somewhere() -> None:
    """A process is started in the folder of the one that starts it; from one that was removed none could be."""
    try:
        os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        os.chdir("/")


def end_of(pid: int) -> int:
    """A descriptor that is readable once a process has ended. Raises: OSError: if it has, and is forgotten."""
    if sys.platform == "linux":
        return os.pidfd_open(pid)
    raise ProcessLookupError(pid)


class Forks:
    """The process that workers are forked from. Where it ends they go on, and another one is started for the next."""

    def __init__(self) -> None:
        self._thread: Thread | None = None
        self._end: int | None = None

    def ready(self) -> bool:
        """Whether a worker can be started without a wait. Else what it needs is imported, in a thread."""
        if sys.platform != "linux":
            return True
        if self._thread is not None:
            if self._thread.is_alive():
                return False
            self._thread = None
            return True  # if that failed, the worker's start meets it again, and can tell
        if self._end is not None and not wait([self._end], 0):
            return True
        os.environ["PYTHONSAFEPATH"] = "1"  # it imports what this process would, and nothing from the current folder
        self._thread = Thread(target=self._import, daemon=True)
        self._thread.start()
        return False

    def settle(self) -> None:
        """Wait until nothing is imported any more, so that it does not end in the middle."""
        if self._thread is not None:
            self._thread.join(SETTLE_S)

    def _import(self) -> None:
        """When it has forked a first process, which tells who it is, it has imported everything."""
        if self._end is not None:
            os.close(self._end)
            self._end = None
        told, tell = Pipe(duplex=False)
        with suppress(OSError, EOFError), told, held_back():
            with tell:
                first = context.Process(target=_tell_parent, args=(tell,))
                first.start()
            self._end = end_of(told.recv())
            first.join()


def _tell_parent(tell: Connection) -> None:
    with suppress(OSError):  # nobody waits for it any more
        tell.send(os.getppid())
