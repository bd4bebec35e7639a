"""A constant rate of requests, whatever the answers do, in a process of its own: python -m benchmarks.steady --help

Each latency counts from when its request was due, not from when it could be sent: a server that stalls is charged for
every caller who would have come meanwhile (Tene's "coordinated omission").
"""

import argparse
import asyncio
import gc
import json
import re
import selectors
import subprocess
import sys
import tempfile
from collections import deque
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np

from benchmarks.calls import BenchmarkError, Call

CONNECTIONS = 32
PATIENCE_S = 10  # for the last answers
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Steady(NamedTuple):
    """What a constant load found, in milliseconds, after the warm-up."""

    requests: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    late_p99_ms: float  # how long after its time a request went out though a connection was free: the generator's part


def steady(url: str, call: Call, rate: float, seconds: float, warm_up_s: float) -> Steady:
    """Runs the generator in a process of its own. Raises: BenchmarkError: if an answer is missing or not 200."""
    with tempfile.NamedTemporaryFile(suffix=".http") as file:
        file.write(call.raw(url))
        file.flush()
        numbers = (str(number) for number in (rate, seconds, warm_up_s))
        command = [sys.executable, "-m", "benchmarks.steady", url, file.name, *numbers]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        ) as process:
            try:
                output, errors = process.communicate()
            finally:
                process.kill()
    if process.returncode:
        raise BenchmarkError(f"constant load: {errors.strip()[-500:]}")
    return Steady(**json.loads(output))


class _Generator:
    """Sends a request whenever one is due, on a free connection, or else on the next that becomes free."""

    def __init__(self, request: bytes, rate: float, count: int) -> None:
        self.request, self.rate, self.count = request, rate, count
        self.loop = asyncio.get_running_loop()
        self.finished: asyncio.Future[None] = self.loop.create_future()
        self.free: deque[_Connection] = deque()
        self.waiting: deque[int] = deque()
        self.latencies, self.lateness = np.zeros(count), np.zeros(count)
        self.due = self.answered = 0
        self.began = 0.0

    def start(self) -> None:
        self.began = self.loop.time()
        self._tick()

    def _tick(self) -> None:
        now = self.loop.time()
        while self.due < self.count and (time := self.time_of(self.due)) <= now:
            if self.free:
                self.lateness[self.due] = now - time
                self.free.popleft().send(self.due)
            else:
                self.waiting.append(self.due)
            self.due += 1
        if self.due < self.count:
            self.loop.call_at(self.time_of(self.due), self._tick)

    def time_of(self, number: int) -> float:
        return self.began + number / self.rate

    def answer(self, connection: "_Connection", number: int) -> None:
        self.latencies[number] = self.loop.time() - self.time_of(number)
        if self.waiting:
            connection.send(self.waiting.popleft())
        else:
            self.free.append(connection)
        self.answered += 1
        if self.answered == self.count and not self.finished.done():
            self.finished.set_result(None)

    def fail(self, reason: str) -> None:
        if not self.finished.done():
            self.finished.set_exception(BenchmarkError(reason))


class _Connection(asyncio.Protocol):
    """A connection that is kept alive, with one request at a time."""

    def __init__(self, generator: _Generator) -> None:
        self.generator, self.buffer, self.number = generator, b"", -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.generator.free.append(self)

    def send(self, number: int) -> None:
        self.number = number
        self.transport.write(self.generator.request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, end, body = self.buffer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not end or (length and len(body) < int(length[1])):
            return
        if length is None or not head.startswith(b"HTTP/1.1 200"):
            self.generator.fail(f"expected an answer 200 with a Content-Length, found {self.buffer[:300]!r}")
            return
        self.buffer = b""
        self.generator.answer(self, self.number)

    def connection_lost(self, error: Exception | None) -> None:
        self.generator.fail(f"expected connections that stay, found one closed: {error}")


async def _generate(url: str, request: bytes, rate: float, seconds: float, warm_up_s: float) -> Steady:
    generator = _Generator(request, rate, round(rate * (warm_up_s + seconds)))
    host, _, port = urlsplit(url).netloc.partition(":")
    for _ in range(CONNECTIONS):
        await generator.loop.create_connection(lambda: _Connection(generator), host, int(port))
    generator.start()
    try:
        await asyncio.wait_for(generator.finished, warm_up_s + seconds + PATIENCE_S)
    except TimeoutError as error:
        missing = generator.count - generator.answered
        raise BenchmarkError(f"expected {generator.count} answers, found {missing} missing") from error
    warm = round(rate * warm_up_s)
    latencies, lateness = 1e3 * generator.latencies[warm:], 1e3 * generator.lateness[warm:]
    return Steady(
        len(latencies),
        float(np.percentile(latencies, 50)),
        float(np.percentile(latencies, 99)),
        float(latencies.max()),
        float(np.percentile(lateness, 99)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Send a request at a constant rate and print the latencies as JSON.")
    parser.add_argument("url", help="of the server")
    parser.add_argument("request", type=Path, help="a file with the whole HTTP request")
    parser.add_argument("rate", type=float, help="requests a second")
    parser.add_argument("seconds", type=float)
    parser.add_argument("warm_up_s", type=float, help="how long before that, uncounted")
    given = parser.parse_args()
    gc.disable()  # a collection would be told as a stall of the server
    request = given.request.read_bytes()

    def loop() -> asyncio.AbstractEventLoop:  # epoll rounds what it waits to milliseconds, select does not
        return asyncio.SelectorEventLoop(selectors.SelectSelector())

    with asyncio.Runner(loop_factory=loop) as runner:
        try:
            found = runner.run(_generate(given.url, request, given.rate, given.seconds, given.warm_up_s))
        except (BenchmarkError, OSError) as error:
            sys.exit(str(error))
    print(json.dumps(found._asdict()))


if __name__ == "__main__":
    main()
