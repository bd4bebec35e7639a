"""From process start to ready: how long until `reparam serve` answers, by its models and workers, and what memory it
takes then; and how long until a worker that was killed is replaced. Needs Linux.
"""

import os
import signal
import statistics
import subprocess
import time
from typing import NamedTuple

from benchmarks.servers import polling, proportional_bytes
from tests.e2e.server import REPARAM, free_port, wait_until_ready

RUNS = 5


class Start(NamedTuple):
    ready_s: float  # the first worker is
    resident_mb: float  # all processes, what they share once, when every worker is ready
    replaced_s: float | None  # from the death of one of several workers


def main() -> None:
    for models, workers, arguments in (
        ("every shipped model", 1, ()),
        ("mnist-mlp", 1, ("--model", "mnist-mlp")),
        ("mnist-mlp", 2, ("--model", "mnist-mlp")),
        ("mnist-mlp", 8, ("--model", "mnist-mlp")),
        ("every shipped model", 8, ()),
    ):
        starts = [_start(workers, *arguments) for _ in range(RUNS)]
        times = [start.ready_s for start in starts]
        told = (
            f"{models}, workers {workers}: ready in {statistics.median(times):.2f} s "
            f"(median of {RUNS}; {min(times):.2f} to {max(times):.2f}), "
            f"{statistics.median(start.resident_mb for start in starts):.0f} MB"
        )
        replaced = [start.replaced_s for start in starts if start.replaced_s is not None]
        print(told + (f"; a killed worker is replaced in {statistics.median(replaced):.2f} s" if replaced else ""))


def _start(workers: int, *arguments: str) -> Start:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    began = time.perf_counter()
    process = subprocess.Popen(
        [REPARAM, "serve", "--port", str(port), "--workers", str(workers), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )

    try:
        wait_until_ready(url, process)
        ready_s = time.perf_counter() - began
        while len(before := polling(process.pid, port)) < workers:
            _go_on(process)
        resident_mb = proportional_bytes(process.pid) / 1e6
        if workers == 1:
            return Start(ready_s, resident_mb, None)
        began = time.perf_counter()
        os.kill(before[0], signal.SIGKILL)
        while len(after := polling(process.pid, port)) < workers or before[0] in after:
            _go_on(process)
        return Start(ready_s, resident_mb, time.perf_counter() - began)
    finally:
        process.terminate()
        process.wait()


def _go_on(process: subprocess.Popen[str]) -> None:
    if process.poll() is not None:
        raise SystemExit(f"expected a service, found that it ended with status {process.returncode}")
    time.sleep(0.02)


if __name__ == "__main__":
    main()
