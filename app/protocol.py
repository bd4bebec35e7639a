"""HTTP/1.1 as uvicorn speaks it, with bounds on a request's head, and problems for what is no HTTP."""

import asyncio
import secrets
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.access.headers import always
from app.errors import PROBLEM_JSON, problem_json

SECURITY = b"".join(name + b": " + value + b"\r\n" for name, value in always())
MAX_HEAD_BYTES = 64 * 1024  # of the request line and the headers


class BoundedProtocol(HttpToolsProtocol):
    """A connection whose requests' heads must come in time and end somewhere.

    uvicorn waits for a head for ever, and keeps all of it; bodies are the application's to bound.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None  # runs while a head is awaited, or has begun

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_head()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._await_head()

    def on_headers_complete(self) -> None:
        self._end_head()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head_timer is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(
                    431, "head-too-large", f"head: expected at most {MAX_HEAD_BYTES} bytes of headers, found more"
                )

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        self._refuse(400, "malformed-request", "expected an HTTP/1.1 request with a known method, found something else")

    def _await_head(self) -> None:
        self._end_head()
        self._head_bytes = 0
        seconds = self.app_state["settings"].body_timeout_s
        self._head_timer = self.loop.call_later(seconds, self._late, seconds)

    def _end_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _late(self, seconds: float) -> None:
        if self._head_bytes:
            self._refuse(
                408,
                "request-timeout",
                f"head: expected all of it within {seconds:g} s (body_timeout_s, set by REPARAM_BODY_TIMEOUT_S), "
                f"found {self._head_bytes} bytes and no end",
            )
        else:  # a connection that was opened and never used
            self.transport.close()

    def _refuse(self, status: int, name: str, detail: str) -> None:
        """Answer with a problem and close, unless the answer to an earlier request is being written."""
        self._end_head()
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            title, request_id = HTTPStatus(status).phrase, secrets.token_hex(8)
            body = problem_json(status, name, title, detail, request_id)
            head = (
                f"HTTP/1.1 {status} {title}\r\ncontent-type: {PROBLEM_JSON}\r\ncontent-length: {len(body)}\r\n"
                f"x-request-id: {request_id}\r\nconnection: close\r\n"
            )
            self.transport.write(head.encode("ascii") + SECURITY + b"\r\n" + body)
        self.transport.close()
