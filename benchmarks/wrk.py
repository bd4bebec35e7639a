"""Full load, by wrk: so many connections, each sending its next request when the last is answered."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.calls import BenchmarkError, Call

CONNECTIONS = 32
SCRIPT = Path(__file__).with_name("cycle.lua")


class Load(NamedTuple):
    """What wrk found."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    refused: int  # answers of status 400 and above
    statuses: dict[str, int]  # how many answers each had; empty if there was one kind of call alone
    errors: dict[str, int]  # of the sockets

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


def find_wrk() -> str:
    """Where the program is. Raises: BenchmarkError: if it is nowhere."""
    program = shutil.which("wrk")
    if program is None:
        raise BenchmarkError("wrk: expected the load generator, found no such program; Debian has it: apt install wrk")
    return program


def wrk(
    url: str, calls: Sequence[Call], seconds: int, each_second: Callable[[], object] | None = None, timeout_s: int = 10
) -> Load:
    """Send the calls in turn for a while. Raises: BenchmarkError: if wrk is missing or fails."""
    program = find_wrk()
    with tempfile.TemporaryDirectory() as scratch:
        files = [Path(scratch, f"{i}.http") for i in range(len(calls))]
        for file, call in zip(files, calls, strict=True):
            file.write_bytes(call.raw(url))
        options = ("-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", f"{timeout_s}s", "-s", str(SCRIPT))
        output = _run([program, *options, url, "--", *map(str, files)], each_second or (lambda: None))
    try:
        return Load(**json.loads(output.strip().splitlines()[-1]))
    except (IndexError, TypeError, ValueError) as error:
        raise BenchmarkError(f"wrk: expected a line of JSON, found {output[-300:]!r}") from error


def _run(command: Sequence[str], each_second: Callable[[], object]) -> str:
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        try:
            while True:
                try:
                    output, _ = process.communicate(timeout=1)
                    break
                except subprocess.TimeoutExpired:
                    each_second()
        finally:
            process.kill()
    return output


def full_load(url: str, call: Call, seconds: int) -> Load:
    """One call, again and again. Raises: BenchmarkError: if an answer is not 2xx, or a connection fails."""
    load = wrk(url, [call], seconds)
    if load.refused or any(load.errors.values()) or not load.requests:
        raise BenchmarkError(
            f"{call.path}: expected sound answers alone, found {load.refused} refusals and {load.errors} "
            f"among {load.requests}"
        )
    return load
