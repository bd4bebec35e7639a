"""HTTP/1.1 as uvicorn speaks it, with bounds on what is awaited, and problems for what is no HTTP.

Long, for a connection is one state machine, whose timers and flags every step of the parser touches.
"""

import asyncio
import secrets
import sys
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from math import inf
from typing import TYPE_CHECKING, Any

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.access.addresses import unmapped
from app.access.headers import always
from app.errors import PROBLEM_JSON, problem_json
from app.observation import note_refused

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

SECURITY = b"".join(name + b": " + value + b"\r\n" for name, value in always())
MAX_HEAD_BYTES = 64 * 1024  # of the request line and the headers
MAX_IN_A_ROW = 64  # requests of a connection that wait for an earlier one, each a hundred times what was sent


class _Link:
    """A connection's transport, as the cycle of a request has it."""

    def __init__(self, transport: asyncio.Transport, leave: Callable[[], None]) -> None:
        self.write, self.is_closing, self.close = transport.write, transport.is_closing, leave


class BoundedProtocol(HttpToolsProtocol):
    """A connection on which everything that is awaited from the caller must come in time and end somewhere.

    uvicorn waits for a head for ever, keeps all of it, and all of the trailers after a body; once a request is
    answered, it waits for ever for the rest of a body that nobody reads; it keeps an answer for ever of which the
    caller takes nothing, and all requests that a caller sends in a row. Bodies are else the application's to bound.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = False
        self._data = b""  # that the parser was given last
        self._upgrade = False  # the head that was read last asks for another protocol
        self._full = False  # nothing more is taken: the connection ends with the answer to the last request that was
        self._left = False  # the last answer is given, and what still comes is dropped
        self._kept_bytes = 0  # of a head, or of trailers: since the message began, or since a piece of its body
        self._adds = False  # whether what is being parsed is no more than that
        self._running: RequestResponseCycle | None = None  # with pipelining, `cycle` is the last of several
        self._todo: deque[tuple[RequestResponseCycle, ASGI3Application]] = deque()
        self._task: asyncio.Task[None] | None = None  # that answers the connection's requests
        self._idle: asyncio.Future[None] | None = None  # what it waits for between two of them
        self._due: float | None = None  # until when something is awaited, but for a body to be read
        self._timer: asyncio.TimerHandle | None = None  # rings no later; it runs on where `_due` changes
        self._untaken: float = inf  # bytes of answers, when it was last looked how many the caller has yet to take
        self._taker: asyncio.TimerHandle | None = None  # when it is looked next

    @property
    def silent(self) -> bool:
        """Whether no request has begun on it."""
        return not self._in_head and self.cycle is None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._link = _Link(transport, self._leave)
        if self.client is not None:
            self.client = (unmapped(self.client[0]), self.client[1])
        self._await()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        for timer in (self._timer, self._taker):
            if timer is not None:
                timer.cancel()
        if self._running is not None and not self._running.response_complete:
            self._hang_up(self._running)
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)
        self._link.close = self.transport.close  # so that neither keeps the other in memory
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._await()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # trailers are no headers: what vouches for the headers has not seen them (RFC 9110, 6.5.1)
            super().on_header(name, value.rstrip(b" \t"))  # RFC 9112, section 5.1: the parser leaves what is after it

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= MAX_IN_A_ROW:
            self._full, self.cycle.keep_alive = True, False
            raise ValueError(f"more than {MAX_IN_A_ROW} requests in a row")  # stops the parser
        codings = [value.lower() for name, value in self.headers if name == b"transfer-encoding"]
        if codings and codings != [b"chunked"]:  # RFC 9112, section 6.1: the parser leaves the others on the body
            found = b", ".join(codings).decode("latin-1")
            self._refuse(501, "not-implemented", f"expected no Transfer-Encoding but chunked, found {found:.200}")
            raise ValueError(found)  # stops the parser
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._upgrade = True
            return
        hosts = sum([name == b"host" for name, _ in self.headers])
        if hosts > 1 or (not hosts and self.parser.get_http_version() == "1.1"):
            self._refuse(400, "malformed-request", f"expected one Host header, found {hosts}")
            raise ValueError(f"{hosts} hosts")  # stops the parser
        self._in_head = False
        self._stop_waiting()
        if b"://" in self.url:  # RFC 9112, section 3.2.2: of such a target the path may be empty
            target = httptools.parse_url(self.url)
            self.url = (target.path or b"/") + (b"?" + target.query if target.query else b"")
        if self.expect_100_continue and self.parser.get_http_version() == "1.0":
            self.expect_100_continue = False  # RFC 9110, section 10.1.1
        super().on_headers_complete()
        self.cycle.transport = self._link  # type: ignore[assignment]

    def on_body(self, body: bytes) -> None:
        held: object = self.cycle.body
        if held:
            if isinstance(held, bytes):
                self.cycle.body = bytearray(held)  # all of it would be copied for each chunk, of which there are many
            super().on_body(body)
        elif not self.cycle.response_complete:
            self.cycle.body = body  # type: ignore[assignment]  # uvicorn would copy it twice on its way
            self.cycle.message_event.set()
            if len(body) > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
        self._kept_bytes, self._adds = 0, False

    def on_message_complete(self) -> None:
        if self._upgrade:
            return
        super().on_message_complete()
        if self.cycle.response_complete:  # it was answered before; from here on the connection is idle
            self.cycle.more_body = False
            self._stop_waiting()
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        self._kept_bytes, self._adds = 0, False

    def data_received(self, data: bytes) -> None:
        if self._full or self._left:
            return
        self._adds = True
        self._parse(data)
        self._data = b""
        if self._left or self.transport.is_closing():
            return
        if self._adds:
            self._kept_bytes += len(data)
            if self._kept_bytes > MAX_HEAD_BYTES:
                found = f"head: expected at most {MAX_HEAD_BYTES} bytes of headers, found more"
                self._refuse(431, "head-too-large", found)
                return
        if self._due is None and self._answered() and self.timeout_keep_alive_task is None:
            self._await()

    def _parse(self, data: bytes) -> None:
        self._data = data
        super().data_received(data)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: "ASGI3Application") -> None:
        self._running = cycle
        self._todo.append((cycle, app))
        if self._task is None or self._task.done():
            self._task = self.loop.create_task(self._answer())
            self._task.add_done_callback(self.tasks.discard)
        elif self._idle is not None and not self._idle.done():
            self._idle.set_result(None)
        self.tasks.add(self._task)  # what a stop waits for

    async def _answer(self) -> None:
        """Answer the connection's requests, one after another.

        uvicorn makes a task of each. In Python 3.11 to make and to forget one takes as long as to read a digit.
        """
        assert self._task is not None  # noqa: S101  for the type checker
        while True:
            try:
                while self._todo:
                    cycle, app = self._todo.popleft()
                    await cycle.run_asgi(app)
            finally:
                self.tasks.discard(self._task)
            if self.transport.is_closing():
                return
            self._idle = self.loop.create_future()
            await self._idle

    def _leave(self) -> None:
        """Close the connection, as the answer says, or where the request's body still comes leave it to the caller."""
        if self._answered() and self.cycle.more_body and not self.transport.is_closing():
            self._leave_to_caller()
        else:
            self.transport.close()

    def _leave_to_caller(self) -> None:
        """End only what is sent, and drop what still comes, for as long as a body may take.

        The system would reset a connection that is closed before all is read, and a caller that still sends, a proxy
        above all, loses the answer with it (RFC 9112, section 9.6).
        """
        self._left = True
        self.transport.write_eof()
        self.flow.resume_reading()
        self._await()

    def shutdown(self) -> None:
        if self._left:
            self.transport.close()
        else:
            super().shutdown()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._answered() and self.cycle.more_body:  # the rest of what nobody reads comes in time, too
            self._await()
        self._await_taker()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._await_taker()

    def _await_taker(self) -> None:
        """Something was written: of what is left of it the caller must take some each time it is looked."""
        self._untaken = inf
        if self._taker is None:
            self._taker = self.loop.call_later(self.app_state["settings"].body_timeout_s, self._look_for_taker)

    def _look_for_taker(self) -> None:
        self._taker = None
        left = self.transport.get_write_buffer_size()
        if left >= self._untaken:
            self.transport.abort()
        elif left:
            self._await_taker()
            self._untaken = left

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        if self._full:  # what was taken is answered; HTTP has the caller send the rest again
            return
        self._refuse(400, "malformed-request", "expected an HTTP/1.1 request with a known method, found something else")

    def _unsupported_upgrade_warning(self) -> None:
        """The request is answered as if it asked for no other protocol (RFC 9110, section 7.8).

        The parser takes what follows such a head for that protocol's, the body as well; so another one reads the head
        again, without what it asks for. After a CONNECT nothing more is taken.
        """
        if self._upgrade:
            error = sys.exception()
            assert error is not None  # noqa: S101  it is the parser's, and says where the head ends
            rest = self._data[error.args[0] :]
            first = b"%b %b HTTP/%b\r\n" % (
                self.parser.get_method(),
                self.url,
                self.parser.get_http_version().encode("ascii"),
            )
            kept = [name + b": " + value + b"\r\n" for name, value in self.headers if name != b"upgrade"]
            self._upgrade = False
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            self._parse(b"".join((first, *kept, b"\r\n", rest)))
        elif self._answered():
            self.transport.close()
        else:
            self.cycle.keep_alive = False

    def _answered(self) -> bool:
        """No request is in hand."""
        return self.cycle is None or self.cycle.response_complete

    @staticmethod
    def _hang_up(cycle: RequestResponseCycle) -> None:
        """Let a request's application know that nobody waits for its answer."""
        cycle.disconnected = True
        cycle.message_event.set()

    def _await(self) -> None:
        self._due = self.loop.time() + self.app_state["settings"].body_timeout_s
        if self._timer is None:
            self._timer = self.loop.call_at(self._due, self._ring)

    def _stop_waiting(self) -> None:
        self._due = None

    def _ring(self) -> None:
        self._timer = None
        if self._due is None:
            return
        if self.loop.time() < self._due:
            self._timer = self.loop.call_at(self._due, self._ring)
        else:
            self._late()

    def _late(self) -> None:
        if self._left:
            self.transport.close()
        elif not self._answered():  # an earlier request is in hand, and until it is answered no more is read
            self._await()
        elif self._in_head:
            seconds = self.app_state["settings"].body_timeout_s
            self._refuse(
                408,
                "request-timeout",
                f"head: expected all of it within {seconds:g} s (body_timeout_s, set by REPARAM_BODY_TIMEOUT_S), "
                f"found {self._kept_bytes} bytes and no end",
            )
            self.transport.close()
        else:  # nothing has begun, or only the rest of what is answered comes
            self.transport.close()

    def _refuse(self, status: int, name: str, detail: str) -> None:
        """Answer with a problem and leave; where the caller would take it for another request's answer only close, and
        where such a request is whole, once that is answered.
        """
        self._stop_waiting()
        if self._left or self.transport.is_closing():
            return
        if self._may_answer():
            title, request_id = HTTPStatus(status).phrase, secrets.token_hex(8)
            body = problem_json(status, name, title, detail, request_id)
            head = (
                f"HTTP/1.1 {status} {title}\r\ncontent-type: {PROBLEM_JSON}\r\ncontent-length: {len(body)}\r\n"
                f"x-request-id: {request_id}\r\nconnection: close\r\n"
            )
            usual = b"".join(name + b": " + value + b"\r\n" for name, value in self.server_state.default_headers)
            self.transport.write(head.encode("ascii") + usual + SECURITY + b"\r\n" + body)
            access_log = self.app_state["settings"].access_log
            counted = "engine" in self.app_state  # the service's own: what is answered during the start is not
            note_refused(self.client, status, name, request_id, access_log, counted)
            if self.cycle is not None:
                self._hang_up(self.cycle)
            self._leave_to_caller()
        elif self.cycle.more_body:
            self.transport.close()
        else:
            self._full, self.cycle.keep_alive = True, False

    def _may_answer(self) -> bool:
        if self.cycle is None or self._in_head or not self.cycle.more_body:  # it is no part of the last request
            return self._answered()
        return not self.cycle.response_started and not self.pipeline
