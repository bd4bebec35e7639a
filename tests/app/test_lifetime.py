"""What is left of a request when it is over: nothing."""

import asyncio
import gc
import weakref

from starlette.types import Message, Receive, Scope, Send

from app.lifetime import WATCH_AFTER_S, Lifetime
from app.settings import Settings


def test_a_request_whose_body_nobody_reads_leaves_no_timer_behind() -> None:
    lives: list[weakref.ref[object]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http" and send
        lives.append(weakref.ref(receive.__self__))
        await asyncio.sleep(3 * WATCH_AFTER_S)

    async def receive() -> Message:
        raise AssertionError("expected nobody to ask")

    async def send(message: Message) -> None:
        raise AssertionError(f"expected no answer, found {message}")

    async def main() -> None:
        lifetime = Lifetime(app, Settings(models="mnist-mlp"))
        await lifetime({"type": "http", "headers": []}, receive, send)
        gc.collect()
        assert lives[0]() is None  # a timer would hold it
        assert (lifetime.requests, lifetime.body_bytes) == (0, 0)

    asyncio.run(main())
