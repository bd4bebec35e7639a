"""From process start to ready: how long until `reparam serve` answers."""

import statistics
import subprocess
import time

from tests.e2e.server import REPARAM, free_port, wait_until_ready

RUNS = 5


def main() -> None:
    times = []
    for _ in range(RUNS):
        port = free_port()
        began = time.perf_counter()
        process = subprocess.Popen(
            [REPARAM, "serve", "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True
        )
        wait_until_ready(f"http://127.0.0.1:{port}", process)
        times.append(time.perf_counter() - began)
        process.terminate()
        process.wait()
    print(f"start to ready: {statistics.median(times):.2f} s (median of {RUNS}; {min(times):.2f} to {max(times):.2f})")


if __name__ == "__main__":
    main()
