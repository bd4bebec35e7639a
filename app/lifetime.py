"""How much a worker has in hand, and for how long.

A request ends before its answer when its time is up, when its caller has gone, or when its body comes too slowly. Its
task is cancelled then, wherever it is: one that waits for a model leaves the queue.
"""

import asyncio

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.batching import OverloadedError
from app.errors import DeadlineError, MalformedError, SlowBodyError, answer_error
from app.settings import Settings
from models.errors import ReparamError

TIMEOUT_HEADER = b"x-request-timeout-ms"
WATCH_AFTER_S = 0.05  # most requests are over by then, and nobody need watch for their callers


class Lifetime:
    """Bounds the requests in hand, the bytes of their bodies, and the time that each may take."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app, self.settings = app, settings
        self.requests = 0
        self.body_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        life = _Life(self, scope, receive, send)
        scope.setdefault("state", {})["hold"] = life.hold
        self.requests += 1
        try:
            await life.run(self._seconds(scope))
        except ReparamError as error:
            if life.answering:
                raise
            await (await answer_error(Request(scope), error))(scope, receive, send)
        finally:
            self.requests -= 1
            self.body_bytes -= life.body_bytes

    def _seconds(self, scope: Scope) -> float:
        """How long the request may take: what its caller asks for, but no more than the setting."""
        if self.requests > self.settings.max_requests:
            raise OverloadedError(
                f"expected at most {self.settings.max_requests} requests in hand (max_requests, set by "
                "REPARAM_MAX_REQUESTS), found one more; try again later"
            )
        limit = self.settings.request_timeout_s
        asked = next((value for name, value in scope["headers"] if name == TIMEOUT_HEADER), None)
        if asked is None:
            return limit
        if not (asked.isdigit() and int(asked[:12]) > 0):
            raise MalformedError(f"X-Request-Timeout-Ms: expected milliseconds, 1 or more, found {asked!r:.40}")
        return min(limit, int(asked[:12]) / 1000)


class _Life:
    """One request's."""

    def __init__(self, bounds: Lifetime, scope: Scope, receive: Receive, send: Send) -> None:
        self.bounds, self.scope, self._receive, self._send = bounds, scope, receive, send
        self.body_bytes = 0
        self.answering = False
        self._complete = False  # the body has come
        self._gone = False  # the caller
        self._clock: asyncio.Timeout | None = None
        self._timer: asyncio.TimerHandle | None = None  # until it is time to watch for the caller
        self._watcher: asyncio.Task[None] | None = None
        self._body_deadline = asyncio.get_running_loop().time() + bounds.settings.body_timeout_s

    async def run(self, seconds: float) -> None:
        """Raises: DeadlineError: if the answer has not begun by then."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  for the type checker
        self._watch_later(task)
        try:
            async with asyncio.timeout(seconds) as self._clock:
                await self.bounds.app(self.scope, self.receive, self.send)
        except TimeoutError as error:
            if self._clock is None or not self._clock.expired():
                raise
            raise DeadlineError(f"expected to answer within {seconds:g} s, found more to do") from error
        except asyncio.CancelledError:
            if not self._gone:
                raise
            task.uncancel()
        finally:
            if self._timer:
                self._timer.cancel()
            if self._watcher:
                self._watcher.cancel()

    async def receive(self) -> Message:
        """Raises: SlowBodyError; OverloadedError."""
        if self._complete:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._body_deadline):
                message = await self._receive()
        except TimeoutError as error:
            raise SlowBodyError(
                f"body: expected all of it within {self.bounds.settings.body_timeout_s:g} s (body_timeout_s, set by "
                f"REPARAM_BODY_TIMEOUT_S), found {self.body_bytes} bytes and no end"
            ) from error
        if message["type"] == "http.request":
            self._complete = not message.get("more_body", False)
            self.hold(len(message.get("body", b"")))
        return message

    def hold(self, size: int) -> None:
        """Count bytes of the body, those that it expands to as well. Raises: OverloadedError."""
        self.body_bytes += size
        self.bounds.body_bytes += size
        limit = self.bounds.settings.max_buffered_bytes
        if self.bounds.body_bytes > limit:
            raise OverloadedError(
                f"expected at most {limit} bytes of bodies in hand (max_buffered_bytes, set by "
                "REPARAM_MAX_BUFFERED_BYTES), found more; try again later"
            )

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.answering = True
            if self._clock and not self._clock.expired():
                self._clock.reschedule(None)
        await self._send(message)

    def _watch_later(self, task: "asyncio.Task[object]") -> None:
        self._timer = asyncio.get_running_loop().call_later(WATCH_AFTER_S, self._start_watching, task)

    def _start_watching(self, task: "asyncio.Task[object]") -> None:
        if self._complete:
            self._watcher = asyncio.get_running_loop().create_task(self._watch(task))
        else:  # whoever reads the body sees the caller go
            self._watch_later(task)

    async def _watch(self, task: "asyncio.Task[object]") -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self.answering:
            self._gone = True
            task.cancel()
