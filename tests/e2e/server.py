"""A real `reparam serve`, in a process of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

REPARAM = str(Path(sys.executable).parent / "reparam")
START_S = 180  # on a machine that is new, or busy with other things
STOP_S = 60
# A request on a connection of its own. None is to https, whose certificates would take 20 ms to read, each time.
get = partial(httpx.get, verify=False, trust_env=False, timeout=60)
post = partial(httpx.post, verify=False, trust_env=False, timeout=60)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def wait_until_ready(url: str, process: subprocess.Popen[str], seconds: float = START_S) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"the server ended with {process.returncode}: {process.communicate()[0]}")
        try:
            if get(f"{url}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"{url} was not ready in {seconds} s")


def wait_for(what: Callable[[], object], seconds: float = START_S) -> None:
    """Until it is true. What a worker's start is waited for takes Python's and torch's import, on a busy machine."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def forks_of(supervisor: int) -> int | None:
    """The one of its children that workers are forked from, once there is one."""
    for pid in children(supervisor):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            if b"forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
    return None


def workers_of(supervisor: int) -> set[int]:
    """The processes that serve."""
    forks = forks_of(supervisor)
    return children(forks) if forks is not None else set()


def children(pid: int) -> set[int]:
    """A process's, whatever thread of it they are of."""
    found: set[int] = set()
    with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found.update(map(int, (thread / "children").read_text().split()))
    return found


@contextmanager
def running(
    *arguments: str, log: Path | None = None, port: int = 0, **environment: str
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address and the process of a server; it is stopped as an operator would, and must end cleanly.

    Args:
        log: where its log goes, which is too long for a pipe that nobody reads; left out, it is forgotten.
        port: to listen on; 0 takes a free one.
    """
    port = port or free_port()
    with TemporaryDirectory() as folder:
        log = log or Path(folder) / "log"
        with log.open("w") as out:
            process = subprocess.Popen(
                [REPARAM, "serve", "--port", str(port), *arguments],
                env=os.environ | environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
            )
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until_ready(url, process)
            yield url, process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
            output = log.read_text()
            assert process.returncode == 0, output
            assert "Traceback" not in output, output
