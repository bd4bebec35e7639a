"""How much a worker has in hand, and for how long.

A request ends before its answer when its time is up, when its caller has gone, when its body comes too slowly, or when
a stop waits no longer. Its task is cancelled then, wherever it is: one that waits for a model leaves the queue.
"""

import asyncio

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.access.paths import PROBES
from app.batching import OverloadedError
from app.errors import DeadlineError, DrainingError, MalformedError, SlowBodyError, answer_error
from app.settings import Settings
from models.errors import ReparamError

TIMEOUT_HEADER = b"x-request-timeout-ms"
WATCH_AFTER_S = 0.05  # most requests are over by then, and nobody need watch for their callers


class Lifetime:
    """Bounds the requests in hand, the bytes of their bodies, and the time that each may take.

    Probes are not counted, and are answered also when the most requests are in hand.
    """

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
        counted = scope["path"] not in PROBES
        self.requests += counted
        try:
            if counted and self.requests > self.settings.max_requests:
                raise OverloadedError(
                    f"expected at most {self.settings.max_requests} requests in hand (max_requests, set by "
                    "REPARAM_MAX_REQUESTS), found one more; try again later"
                )
            await life.run(self._seconds(scope))
        except ReparamError as error:
            if life.answering:
                raise
            await (await answer_error(Request(scope), error))(scope, receive, send)
        finally:
            self.requests -= counted
            self.body_bytes -= life.body_bytes

    def _seconds(self, scope: Scope) -> float:
        """How long the request may take: what its caller asks for, but no more than the setting."""
        limit = self.settings.request_timeout_s
        asked = None
        for name, value in scope["headers"]:
            if name == TIMEOUT_HEADER and asked is None:
                asked = value
        if asked is None:
            return limit
        digits = asked.lstrip(b"0")
        if not (asked.isdigit() and digits):
            raise MalformedError(
                f"X-Request-Timeout-Ms: expected milliseconds, 1 or more, found {asked.decode('latin-1')!r:.40}"
            )
        return min(limit, int(digits) / 1000) if len(digits) <= 12 else limit  # years


class _Life:
    """One request's. A single timer serves all that it is bounded by: most requests end before it rings once."""

    def __init__(self, bounds: Lifetime, scope: Scope, receive: Receive, send: Send) -> None:
        self.bounds, self.scope, self._receive, self._send = bounds, scope, receive, send
        self.body_bytes = 0
        self.answering = False
        self._receiving = False  # a piece of the body is awaited
        self._complete = False  # the body has come, or there is none
        self._owed = False  # that there is none is yet to be told to whoever asks
        self._why: ReparamError | None = None  # the task is cancelled, where its caller has not gone
        self._gone = False  # the caller
        self._watcher: asyncio.Task[None] | None = None

    async def run(self, seconds: float) -> None:
        """Raises: DeadlineError: if the answer has not begun by then. SlowBodyError. DrainingError."""
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  for the type checker
        self._task, self._seconds = task, seconds
        now = self._loop.time()
        self._deadline, self._body_deadline = now + seconds, now + self.bounds.settings.body_timeout_s
        self._set_timer(now)
        try:
            await self.bounds.app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:
            if not (self._gone or self._why or self._stopping()) or task.uncancel():
                raise
            if not self._gone:
                raise self._why or DrainingError("the service stopped before the answer was ready") from None
        finally:
            self._timer.cancel()
            if self._watcher:
                self._watcher.cancel()

    async def receive(self) -> Message:
        """Raises: OverloadedError."""
        if self._owed:
            self._owed = False
            return {"type": "http.request", "body": b"", "more_body": False}
        if self._complete:
            return await self._receive()
        self._receiving = True
        message = await self._receive()
        self._receiving = False
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
        await self._send(message)

    def _set_timer(self, now: float) -> None:
        due = self._deadline if self._watcher else min(self._deadline, now + WATCH_AFTER_S)
        self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        """See whether it is time to end the request, or to watch for its caller."""
        if self.answering or self._gone:
            return
        now = self._loop.time()
        if now >= self._deadline:
            most = self.bounds.settings.request_timeout_s
            whose = "request_timeout_s, set by REPARAM_REQUEST_TIMEOUT_S"
            if self._seconds < most:
                whose = f"X-Request-Timeout-Ms, of at most {most:g} s"
            self._cancel(DeadlineError(f"expected to answer within {self._seconds:g} s ({whose}), found more to do"))
        elif self._receiving and now >= self._body_deadline:
            self._cancel(
                SlowBodyError(
                    f"body: expected all of it within {self.bounds.settings.body_timeout_s:g} s (body_timeout_s, set "
                    f"by REPARAM_BODY_TIMEOUT_S), found {self.body_bytes} bytes and no end"
                )
            )
        else:
            if not (self._complete or self._receiving or self._has_body()):
                self._complete = self._owed = True
            if self._complete:  # until then whoever reads the body sees the caller go
                self._watcher = self._watcher or self._loop.create_task(self._watch())
            self._set_timer(now)

    def _cancel(self, why: ReparamError) -> None:
        self._why = why
        self._task.cancel()

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not (self.answering or self._why):
            self._gone = True
            self._task.cancel()

    def _has_body(self) -> bool:
        return any(
            name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0"))
            for name, value in self.scope["headers"]
        )

    def _stopping(self) -> bool:
        draining = self.scope["state"].get("draining")
        return draining is not None and draining.is_set()
