"""What is noted of every request: its id, its time by stage, a line in the log, metrics and a span."""

import re
import secrets
from time import perf_counter
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import logs, metrics, stages
from app.errors import CLIENT_CLOSED_REQUEST, answer_error
from app.traces import parent_trace, trace_id

if TYPE_CHECKING:
    from app.traces import Traces

REQUEST_ID = re.compile(rb"[A-Za-z0-9!#$%&*+./:=?@^_|~-]{1,128}")  # visible ASCII that needs no quotes in a log
LONGEST_PATH = 1024  # that is told whole: a line that is longer than 4 KiB may be cut by another process's
UNKNOWN = "other"  # the operation of a request for what is not there


def request_id(given: bytes) -> str:
    """A request's id: what its X-Request-ID gives, if that can be one."""
    return given.decode() if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def note_refused(
    client: tuple[str, int] | None, status: int, problem: str, ids: str, access_log: bool, counted: bool
) -> None:
    """Note an answer to what never became a request: it has no method and no path, and took no time."""
    if counted:
        metrics.began()
        metrics.ended(UNKNOWN, status, problem, 0.0, {})
    if access_log:
        line = {"status": status, "problem": problem, "request_id": ids}
        logs.log_request(line | ({"client": client[0]} if client else {}))


class Observation:
    """Notes every request, and answers an unexpected error.

    Whoever answers may set `request.state.model` to the name of the model that is asked, and `request.state.problem`
    to the name of the problem that is told.

    Args:
        access_log: whether each has its line.
        counted: whether the metrics count them, which is for the service's event loop alone to do.
    """

    def __init__(self, app: ASGIApp, access_log: bool = True, counted: bool = True) -> None:
        self.app, self._access_log, self._counted = app, access_log, counted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = perf_counter()
        state = scope.setdefault("state", {})
        given = traceparent = tracestate = b""
        for name, value in scope["headers"]:
            if name == b"x-request-id":
                given = value
            elif name == b"traceparent":
                traceparent = value
            elif name == b"tracestate":
                tracestate = value
        state["request_id"] = ids = request_id(given)
        context = {"request_id": ids}
        traces: Traces | None = state.get("traces")
        span = traces.start(scope["method"], traceparent, tracestate) if traces else None
        trace = trace_id(span) if span else parent_trace(traceparent)
        if trace:
            context["trace_id"] = trace
        logs.REQUEST.set(context)
        timings = stages.begin()
        times: dict[stages.Stage, float] = {}
        status = size = 0

        async def send_noted(message: Message) -> None:
            nonlocal status, size, times
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", ()), (b"x-request-id", ids.encode())]
                if timings and "model" in state:  # a data call
                    times = stages.totals(timings)
                    headers.append((b"server-timing", stages.server_timing(times).encode()))
                if (draining := state.get("draining")) is not None and draining.is_set():
                    headers.append((b"connection", b"close"))
                message["headers"] = headers
            elif message["type"] == "http.response.body" and scope["method"] != "HEAD":
                size += len(message.get("body", b""))
            await send(message)

        if self._counted:
            metrics.began()
        try:
            await self.app(scope, receive, send_noted)
        except Exception as error:
            if status:  # too late to tell the caller: the server logs it and closes the connection
                raise
            answer = await answer_error(Request(scope), error)
            await answer(scope, receive, send_noted)
        finally:
            seconds = perf_counter() - began
            status = status or CLIENT_CLOSED_REQUEST
            if self._counted:
                metrics.ended(_operation(scope), status, state.get("problem"), seconds, times)
            if span and traces:
                traces.end(span, *_told(scope, status), timings, status >= 500)
            if self._access_log:
                logs.log_request(_line(scope, status, seconds, size))


def _operation(scope: Scope) -> str:
    """The operation that was asked for, also where it was refused before it was looked for."""
    route = scope.get("route")
    if route is None:
        asked = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        route = next((route for route in scope["app"].routes if route.matches(asked)[0] == Match.FULL), None)
    return getattr(route, "operation_id", None) or UNKNOWN


def _path(scope: Scope) -> str:
    """As it was sent, without the query, in which secrets may be."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    path = raw.partition(b"?")[0].decode("latin-1")
    return path if len(path) <= LONGEST_PATH else f"{path[:LONGEST_PATH]}..."


def _line(scope: Scope, status: int, seconds: float, size: int) -> dict[str, Any]:
    line = {
        "method": scope["method"],
        "path": _path(scope),
        "status": status,
        "duration_ms": round(seconds * 1e3, 2),
        "bytes": size,
    }
    if scope.get("client"):
        line["client"] = scope["client"][0]
    for name in ("model", "problem", "key_id"):
        if name in scope["state"]:
            line[name] = scope["state"][name]
    return line


def _told(scope: Scope, status: int) -> tuple[str, dict[str, Any]]:
    """A span's name and attributes. Source: OpenTelemetry's semantic conventions for HTTP servers."""
    route = getattr(scope.get("route"), "path", None)
    state = scope["state"]
    return f"{scope['method']} {route}" if route else scope["method"], {
        "http.request.method": scope["method"],
        "http.route": route,
        "http.response.status_code": status,
        "url.path": _path(scope),
        "url.scheme": scope["scheme"],
        "client.address": scope["client"][0] if scope.get("client") else None,
        "error.type": state.get("problem") if status >= 500 else None,
        "reparam.operation": _operation(scope),
        "reparam.model": state.get("model"),
        "reparam.request_id": state["request_id"],
    }
