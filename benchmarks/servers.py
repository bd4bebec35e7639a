"""The services that are measured, each in processes of its own, which end with the measurement, come what may."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import IO

import httpx

from benchmarks.calls import BenchmarkError
from tests.e2e.server import REPARAM, children, free_port, get

ROOT = Path(__file__).resolve().parent.parent
START_S, STOP_S = 180, 30
UVICORN = (sys.executable, "-m", "uvicorn", "--no-access-log", "--log-level", "warning")


@dataclass(frozen=True)
class Server:
    """A service that answers."""

    url: str
    workers: tuple[int, ...]  # the processes that answer


@contextmanager
def reparam(*folders: Path, workers: int, **environment: str) -> Iterator[Server]:
    """`reparam serve` on these checkpoints, the first the default one; as it is shipped, but for its log of requests,
    which the others do not write either.
    """
    models = [f"--model={folder}" for folder in folders]
    command = (REPARAM, "serve", "--workers", str(workers), *models)
    with _serving(command, workers, "/readyz", **{"REPARAM_ACCESS_LOG": "false"} | environment) as server:
        yield server


@contextmanager
def uvicorn(application: str, workers: int, **environment: str) -> Iterator[Server]:
    """Another application, on the same kind of server, without a log of requests."""
    with _serving((*UVICORN, application, "--workers", str(workers)), workers, "/docs", **environment) as server:
        yield server


@contextmanager
def _serving(command: Sequence[str], workers: int, probe: str, **environment: str) -> Iterator[Server]:
    """A service, once its probe is answered with 200, and by as many processes as it is to have."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(
        [*command, "--port", str(port)],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # a Ctrl-C is for the benchmark, which ends its servers itself
    ) as process:
        assert process.stdout
        log = _Log(process.stdout)
        try:
            deadline = time.monotonic() + START_S
            while len(found := polling(process.pid, port)) != workers or not _answers(url + probe):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise BenchmarkError(
                        f"{' '.join(command)}: expected {workers} workers that listen, found {len(found)}: {log.tail()}"
                    )
                time.sleep(0.1)
            yield Server(url, found)
        finally:
            _stop(process)
            log.join()


def _answers(url: str) -> bool:
    with suppress(httpx.TransportError):
        return get(url).status_code == 200
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    try:
        process.terminate()
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        print(f"{process.args!r} did not stop in {STOP_S} s", file=sys.stderr)
    finally:
        with suppress(ProcessLookupError):  # nobody is left, as it should be
            os.killpg(process.pid, signal.SIGKILL)


class _Log(Thread):
    """Reads what a server writes, so that it never waits for a reader, and keeps the end of it."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self._stream, self._end = stream, b""
        self.start()

    def run(self) -> None:
        while chunk := os.read(self._stream.fileno(), 1 << 16):
            self._end = (self._end + chunk)[-2000:]

    def tail(self) -> str:
        self.join(1)
        return self._end.decode(errors="replace").strip() or "it wrote nothing"


def polling(pid: int, port: int) -> tuple[int, ...]:
    """Which processes, of one and all below it, wait for connections to the port.

    A worker does once its application has started, and a supervisor that only holds the socket never does.
    """
    listening = re.compile(rf"^ *\d+: [0-9A-F]+:{port:04X} \S+ 0A (?:\S+ +){{5}}(\d+)", re.MULTILINE)
    sockets = {f"socket:[{inode}]" for inode in listening.findall(Path("/proc/net/tcp").read_text())}
    return tuple(worker for worker in _tree(pid) if sockets & _polled(worker))


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for child in children(pid):
        yield from _tree(child)


def _polled(pid: int) -> set[str]:
    """What a process's epolls wait for."""
    found = set()
    with suppress(OSError):
        for info in Path(f"/proc/{pid}/fdinfo").iterdir():
            for descriptor in re.findall(r"^tfd: +(\d+)", info.read_text(), re.MULTILINE):
                with suppress(OSError):
                    found.add(str(Path(f"/proc/{pid}/fd/{descriptor}").readlink()))
    return found


def proportional_bytes(pid: int) -> int:
    """The memory of a process and all below it: of what several have in common each counts its share (PSS)."""
    told = [Path(f"/proc/{one}/smaps_rollup").read_text() for one in set(_tree(pid))]
    return 1024 * sum(int(kib) for text in told for kib in re.findall(r"^Pss: +(\d+)", text, re.MULTILINE))


def resident_bytes(pids: Sequence[int]) -> int:
    """The resident memory of processes, added up. Raises: BenchmarkError: if one has ended."""
    try:
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    except OSError as error:
        raise BenchmarkError(f"expected workers that live, found one that has ended: {error}") from error
    return pages * os.sysconf("SC_PAGE_SIZE")


def reset_peak(pid: int) -> None:
    """Forget the largest resident memory that the process ever had: the peak is then what it has now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_bytes(pid: int) -> int:
    """The largest resident memory of a process since `reset_peak`."""
    match = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert match
    return int(match[1]) * 1024
