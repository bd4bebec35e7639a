"""How a request is ended, and what is left of it when it is over: nothing."""

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from app.lifetime import WATCH_AFTER_S, Lifetime
from app.settings import Settings

App = Callable[[Scope, Receive, Send], Awaitable[None]]
DISCONNECT = {"type": "http.disconnect"}


async def _nobody() -> Message:
    raise AssertionError("expected nobody to ask")


async def _ended(app: App, receive: Receive, *headers: tuple[bytes, bytes], **state: Any) -> list[Message]:
    """What is sent to the caller of an application that Lifetime bounds; all that it holds must be let go."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    lifetime = Lifetime(app, Settings(models="mnist-mlp"))
    path = {"path": "/v1/sample", "method": "GET", "query_string": b"", "server": ("x", 1), "scheme": "http"}
    scope = {"type": "http", "headers": list(headers), "state": {"request_id": "1"} | state, **path}
    await lifetime(scope, receive, send)
    task = asyncio.current_task()
    assert task is not None and not task.cancelling()  # the next request of the connection is this task's, too
    assert (lifetime.requests, lifetime.body_bytes) == (0, 0)
    return sent


async def _status(lifetime: Lifetime, receive: Receive, path: str = "/v1/sample") -> int:
    """What a request with a body is answered."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    where = {"path": path, "method": "GET", "query_string": b"", "server": ("x", 1), "scheme": "http"}
    headers = [(b"content-length", b"9")]
    await lifetime({"type": "http", "headers": headers, "state": {"request_id": "1"}} | where, receive, send)
    status: int = sent[0]["status"]
    return status


def test_a_request_whose_body_nobody_reads_leaves_no_timer_behind() -> None:
    lives: list[weakref.ref[object]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http" and send
        lives.append(weakref.ref(receive.__self__))
        await asyncio.sleep(3 * WATCH_AFTER_S)

    async def main() -> None:
        assert await _ended(app, _nobody, (b"content-length", b"9")) == []
        gc.collect()
        assert lives[0]() is None  # a timer would hold it

    asyncio.run(main())


@pytest.mark.parametrize("headers", [(), ((b"content-length", b"0"),)])
def test_a_caller_without_a_body_is_seen_to_go(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    ended = False

    async def app(*_: object) -> None:
        nonlocal ended
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended = True
            raise

    messages = [DISCONNECT, {"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        return messages.pop()

    assert asyncio.run(_ended(app, receive, *headers)) == []
    assert ended and not messages


def test_that_there_is_no_body_is_told_to_who_asks_late() -> None:
    got: list[Message] = []
    asked = asyncio.Event()

    async def app(_: Scope, receive: Receive, send: Send) -> None:
        await asked.wait()
        got.append(await receive())
        await send({"type": "http.response.start", "status": 200})

    async def receive() -> Message:
        asked.set()
        await asyncio.sleep(60)
        return DISCONNECT

    assert len(asyncio.run(_ended(app, receive))) == 1
    assert got == [{"type": "http.request", "body": b"", "more_body": False}]


def test_who_goes_when_the_time_is_up_is_ended_once() -> None:
    """Else the connection's task would stay cancelled, and its next request would be ended for it."""

    late, gone = asyncio.Event(), asyncio.Event()

    async def app(*_: object) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            late.set()
            await gone.wait()
            await asyncio.sleep(0.05)  # while it tidies up

    async def receive() -> Message:
        await late.wait()
        gone.set()
        return DISCONNECT

    start, _ = asyncio.run(_ended(app, receive, (b"x-request-timeout-ms", b"100")))
    assert start["status"] == 504


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ((), b"within 0.1 s (request_timeout_s, set by REPARAM_REQUEST_TIMEOUT_S)"),
        ((b"60000",), b"within 0.1 s (request_timeout_s, set by REPARAM_REQUEST_TIMEOUT_S)"),
        ((b"9" * 99,), b"within 0.1 s (request_timeout_s, set by REPARAM_REQUEST_TIMEOUT_S)"),
        ((b"50",), b"within 0.05 s (X-Request-Timeout-Ms, of at most 0.1 s)"),
        ((b"0000000000050",), b"within 0.05 s (X-Request-Timeout-Ms, of at most 0.1 s)"),
    ],
)
def test_whose_time_is_up_is_told(asked: tuple[bytes, ...], told: bytes) -> None:
    async def app(*_: object) -> None:
        await asyncio.sleep(60)

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def main() -> None:
        where = {"path": "/v1/sample", "method": "GET", "query_string": b"", "server": ("x", 1), "scheme": "http"}
        headers = [(b"content-length", b"9"), *((b"x-request-timeout-ms", one) for one in asked)]
        lifetime = Lifetime(app, Settings(models="mnist-mlp", request_timeout_s=0.1))
        await lifetime({"type": "http", "headers": headers, "state": {"request_id": "1"}} | where, _nobody, send)

    asyncio.run(main())
    start, body = sent
    assert start["status"] == 504 and told in body["body"]


def test_bodies_together_have_a_limit_and_what_is_over_is_let_go() -> None:
    go = asyncio.Event()

    async def app(_: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await go.wait()
        await send({"type": "http.response.start", "status": 200})

    async def body() -> Message:
        return {"type": "http.request", "body": bytes(9)}

    lifetime = Lifetime(app, Settings(models="mnist-mlp", max_body_bytes=9, max_buffered_bytes=18))

    async def main() -> None:
        asked = [asyncio.create_task(_status(lifetime, body)) for _ in range(3)]
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        go.set()
        assert await asyncio.gather(*asked) == [200, 200, 503]
        assert lifetime.body_bytes == 0 and await _status(lifetime, body) == 200

    asyncio.run(main())


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/v2/health/live", "/v2/health/ready", "/metrics"])
def test_a_probe_is_answered_while_the_most_requests_are_in_hand_and_is_none_of_them(path: str) -> None:
    go = asyncio.Event()

    async def app(_: Scope, __: Receive, send: Send) -> None:
        await go.wait()
        await send({"type": "http.response.start", "status": 200})

    lifetime = Lifetime(app, Settings(models="mnist-mlp", max_requests=1))

    async def main() -> list[int]:
        asked = [
            asyncio.create_task(_status(lifetime, _nobody, one)) for one in (path, "/v1/sample", path, "/v1/sample")
        ]
        await asyncio.sleep(0)
        assert lifetime.requests == 1
        go.set()
        return await asyncio.gather(*asked)

    assert asyncio.run(main()) == [200, 200, 200, 503]
    assert lifetime.requests == 0


def test_a_stop_that_waits_no_longer_is_told() -> None:
    async def app(*_: object) -> None:
        await asyncio.sleep(60)

    async def main() -> list[Message]:
        draining = asyncio.Event()
        draining.set()
        request = asyncio.create_task(_ended(app, _nobody, (b"content-length", b"9"), draining=draining))
        await asyncio.sleep(0)
        request.cancel()
        return await request

    start, body = asyncio.run(main())
    assert start["status"] == 503 and b"urn:reparam:problem:draining" in body["body"]
