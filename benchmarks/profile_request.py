"""Where the time of one encode request goes, without a network: python -m benchmarks.profile_request

First the whole request, as an ASGI call in this process; then its parts, each alone; then what the event loop's thread
runs in it, by cProfile, whose own cost makes small functions look dearer than they are. All of it is processor time,
of every thread but in the profile, so that a busy machine tells the same as an idle one.
"""

import argparse
import asyncio
import cProfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

import numpy as np
import orjson
import torch
import uvloop
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message

from app.images import fit_image, read_image
from app.main import create_app
from app.settings import Settings
from models.checkpoint import load_checkpoint
from models.files import ZOO

MODEL = "mnist-mlp"
DIGIT = (Path(__file__).resolve().parent.parent / "app" / "web" / "seven.png").read_bytes()
ROUNDS = 7
HEADERS = [(b"host", b"127.0.0.1"), (b"accept", b"*/*"), (b"content-type", b"image/png")]


async def _call(app: ASGIApp, state: dict[str, object]) -> None:
    """One request, as the server would hand it to the application."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/v1/encode",
        "raw_path": b"/v1/encode",
        "root_path": "",
        "query_string": b"",
        "headers": [*HEADERS, (b"content-length", str(len(DIGIT)).encode())],
        "client": ("127.0.0.1", 40000),
        "server": ("127.0.0.1", 8000),
        "state": state.copy(),
    }
    bodies = iter([{"type": "http.request", "body": DIGIT, "more_body": False}])

    async def receive() -> Message:
        if (message := next(bodies, None)) is None:
            await asyncio.Event().wait()  # the caller stays connected
        assert message
        return message

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] != 200:
            raise AssertionError(f"expected status 200, found {message}")

    await app(scope, receive, send)


async def _run(count: int, top: int) -> None:
    app = create_app(Settings(models=(MODEL,)))
    async with app.router.lifespan_context(app) as state:
        request = dict(state or {})

        async def whole() -> None:
            await _call(app, request)

        print(f"{await _cost(whole, count):7.1f} µs  the whole request\n")
        for name, part in _parts().items():
            print(f"{await _cost(part, count):7.1f} µs  {name}")
        print("\nby cProfile, in the event loop's thread alone:")
        profile = cProfile.Profile(time.thread_time)
        profile.enable()
        for _ in range(count):
            await whole()
        profile.disable()
        _print_top(profile, count, top)


def _parts() -> dict[str, Callable[[], object]]:
    """What every request must do, in whatever way: each alone, and warm."""
    model = load_checkpoint(ZOO / MODEL).model
    picture = read_image(DIGIT)
    pixels = fit_image(picture)
    x = torch.from_numpy(pixels.reshape(1, -1))
    weights = [(layer.weight.numpy().T.copy(), layer.bias.numpy()) for layer in model.encoder.layers]  # type: ignore[union-attr]

    @torch.inference_mode()
    def forward() -> list[np.ndarray]:
        return [part.numpy() for part in model.encode(x) if part is not None]

    def plainly() -> list[np.ndarray]:
        y = pixels.reshape(1, -1)
        for weight, bias in weights[:-1]:
            y = np.maximum(y @ weight + bias, 0)
        mean, log_sigma = np.split(y @ weights[-1][0] + weights[-1][1], 2, axis=1)
        return [mean, np.exp(2 * log_sigma)]

    found = forward()
    assert all(np.allclose(a, b, atol=1e-4) for a, b in zip(found, plainly(), strict=True))
    answer = {"model": MODEL, "mean": np.ascontiguousarray(found[0]), "variance": found[1]}

    async def hop() -> None:
        await run_in_threadpool(int)

    return {
        "reading the PNG file, to floats (Pillow)": lambda: read_image(DIGIT),
        "fitting what needs no fitting": lambda: fit_image(picture),
        "a hop to a thread and back": hop,
        "the forward (torch, from and to NumPy)": forward,
        "the same forward in NumPy": plainly,
        "the JSON (orjson)": lambda: orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY),
    }


async def _cost(work: Callable[[], object], count: int) -> float:
    """Microseconds a call, of processor time: the median of some rounds."""
    times = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(count):
            done = work()
            if isinstance(done, Awaitable):
                await done
        times.append(time.process_time() - began)
    return 1e6 * median(times) / count


def _print_top(profile: cProfile.Profile, count: int, top: int) -> None:
    print("    self      all    calls  function      (µs, µs and calls a request)")
    for entry in sorted(profile.getstats(), key=lambda entry: -entry.inlinetime)[:top]:
        code = entry.code
        where = code if isinstance(code, str) else f"{code.co_filename}:{code.co_firstlineno} {code.co_qualname}"
        self_us, all_us = (1e6 * seconds / count for seconds in (entry.inlinetime, entry.totaltime))
        calls = entry.callcount / count
        print(f"{self_us:8.2f} {all_us:8.2f} {calls:8.1f}  {where.rpartition('site-packages/')[2]}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile_request", description="Profile one request.")
    parser.add_argument("--count", type=int, default=500, help="requests of a round (%(default)s)")
    parser.add_argument("--top", type=int, default=40, help="functions to print (%(default)s)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(given.count, given.top))


if __name__ == "__main__":
    main()
