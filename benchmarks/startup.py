"""From process start to ready: how long until `reparam serve` answers, by its models and workers."""

import statistics
import subprocess
import time

from tests.e2e.server import REPARAM, free_port, wait_until_ready

RUNS = 5


def main() -> None:
    for models, arguments in (
        ("every shipped model", ()),
        ("mnist-mlp", ("--model", "mnist-mlp")),
        ("mnist-mlp in two workers", ("--model", "mnist-mlp", "--workers", "2")),
    ):
        times = [_start_s(*arguments) for _ in range(RUNS)]
        print(
            f"start to ready with {models}: {statistics.median(times):.2f} s "
            f"(median of {RUNS}; {min(times):.2f} to {max(times):.2f})"
        )


def _start_s(*arguments: str) -> float:
    port = free_port()
    began = time.perf_counter()
    process = subprocess.Popen(
        [REPARAM, "serve", "--port", str(port), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    wait_until_ready(f"http://127.0.0.1:{port}", process)
    took = time.perf_counter() - began
    process.terminate()
    process.wait()
    return took


if __name__ == "__main__":
    main()
