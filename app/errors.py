"""The one table from what can go wrong to what the caller is told: problem details (RFC 9457), or /v2's own."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import NamedTuple

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.batching import OverloadedError
from app.images import ImageError, ImageTooLargeError
from models.errors import (
    CheckpointError,
    InputError,
    ModelNotFoundError,
    NotCapableError,
    NotGenerativeError,
    ReparamError,
)

JSON, PROBLEM_JSON = "application/json", "application/problem+json"
# What the caller's HTTP library should know of a status.
HEADERS = {408: {"Connection": "close"}, 503: {"Retry-After": "1"}}
CLIENT_CLOSED_REQUEST = 499  # nobody reads it but the log; the number is nginx's

logger = logging.getLogger(__name__)


class BodyTooLargeError(ReparamError):
    """A request's body is over the limit."""


class LimitError(ReparamError):
    """A request asks for more than a limit allows."""

    def __init__(self, what: str, limit: str, value: int, found: int | str) -> None:
        super().__init__(f"{what}: expected at most {value} ({limit}, set by REPARAM_{limit.upper()}), found {found}")


class MediaTypeError(ReparamError):
    """A request's body is of a type that the call does not take; the answer's header says which it takes."""

    header = "Accept"  # RFC 9110, section 15.5.16

    def __init__(self, message: str, accepted: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.headers = {self.header: ", ".join(accepted)} if accepted else {}


class CodingError(MediaTypeError):
    """Likewise, of its coding."""

    header = "Accept-Encoding"  # RFC 7694, section 3


class ParameterError(ReparamError):
    """A request has a query parameter that the call does not know or take, or has one twice."""


class NotAcceptableError(ReparamError):
    """A request accepts none of the types that the call can answer with."""


class MalformedError(ReparamError):
    """A request's body or parameter is not what it says it is, or not what the call takes."""


class DeadlineError(ReparamError):
    """A request took longer than it may."""


class SlowBodyError(ReparamError):
    """A request's body did not come in time."""


class RefusedError(ReparamError):
    """A request is refused for who sends it or how often; `headers` go with the answer."""

    def __init__(self, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.headers = dict(headers or {})


class UnauthorizedError(RefusedError):
    """A request comes without a valid key."""


class RateLimitedError(RefusedError):
    """A request comes too soon after others."""


class UncountedError(RefusedError):
    """A request cannot be counted, and is refused then."""


class StartingError(ReparamError):
    """The service has not loaded its models yet."""


class DrainingError(ReparamError):
    """The service is about to stop."""


class Kind(NamedTuple):
    """A kind of problem: its status, its name in the `type` member, and its title."""

    status: int
    name: str
    title: str


# An error is the kind of the nearest of its classes.
PROBLEMS: dict[type, Kind] = {
    UnauthorizedError: Kind(401, "unauthorized", "A valid key is needed"),
    ModelNotFoundError: Kind(404, "model-not-found", "No such model"),
    NotAcceptableError: Kind(406, "not-acceptable", "No acceptable answer"),
    NotCapableError: Kind(409, "not-capable", "This model cannot do that"),
    NotGenerativeError: Kind(409, "not-generative", "This model does not generate"),
    SlowBodyError: Kind(408, "request-timeout", "The body did not come in time"),
    BodyTooLargeError: Kind(413, "body-too-large", "The body is too large"),
    ImageTooLargeError: Kind(413, "image-too-large", "The image has too many pixels"),
    CodingError: Kind(415, "unsupported-coding", "Unsupported content coding"),
    MediaTypeError: Kind(415, "unsupported-media-type", "Unsupported media type"),
    ImageError: Kind(422, "unreadable-image", "The image cannot be read"),
    LimitError: Kind(422, "limit-exceeded", "The request is over a limit"),
    MalformedError: Kind(422, "malformed-request", "The request is malformed"),
    ParameterError: Kind(422, "invalid-parameter", "A parameter is invalid"),
    InputError: Kind(422, "invalid-input", "The input is not what the model takes"),
    RateLimitedError: Kind(429, "rate-limited", "Too many requests"),
    UncountedError: Kind(503, "rate-limits-unavailable", "Requests cannot be counted"),
    OverloadedError: Kind(503, "overloaded", "The service has too much to do"),
    CheckpointError: Kind(503, "model-unavailable", "The model cannot be loaded"),
    DeadlineError: Kind(504, "deadline-exceeded", "The answer was not ready in time"),
    StartingError: Kind(503, "starting", "The service is starting"),
    DrainingError: Kind(503, "draining", "The service is stopping"),
}


def speaks_oip(path: str) -> bool:
    """Whether a path is the Open Inference Protocol's."""
    return path == "/v2" or path.startswith("/v2/")


def problem_json(status: int, name: str, title: str, detail: str, request_id: str) -> bytes:
    """A problem as JSON."""
    detail = detail.encode("utf-8", "replace").decode()  # it may quote half a surrogate pair
    kind = f"urn:reparam:problem:{name}"
    return orjson.dumps({"type": kind, "title": title, "status": status, "detail": detail, "request_id": request_id})


def problem(request: Request, status: int, name: str, title: str, detail: str) -> Response:
    """The answer for a problem, in the form that the path's protocol gives errors."""
    request.state.problem = name  # for the log and the metrics
    if speaks_oip(request.url.path):
        # To clients of that protocol a bad input is a 400, whatever is bad about it.
        return Response(orjson.dumps({"error": detail}), 400 if status == 422 else status, media_type=JSON)
    body = problem_json(status, name, title, detail, request.state.request_id)
    return Response(body, status, media_type=PROBLEM_JSON)


async def answer_error(request: Request, error: Exception) -> Response:
    """The answer for an error that the table has; any other is logged, and the caller told no more than where.

    So is a checkpoint's.
    """
    kind = next((PROBLEMS[one] for one in type(error).__mro__ if one in PROBLEMS), None)
    if kind is None:
        return await _unexpected(request, error)
    detail = str(error)
    if isinstance(error, CheckpointError):  # tells of paths and hashes, which are the operator's to know
        logger.error("a model cannot be loaded: %s", error)
        detail = f"the model cannot be loaded; the log has why, under the request_id {request.state.request_id}"
    answer = problem(request, *kind, detail)
    answer.headers.update(HEADERS.get(kind.status, {}))
    answer.headers.update(error.headers if isinstance(error, RefusedError | MediaTypeError) else {})
    return answer


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  for the type checker
    parts = []
    for e in error.errors():
        where = ".".join(str(part) for part in e["loc"])
        found = "" if e["type"] == "missing" else f", found {e['input']!r:.80}"
        parts.append(f"{where}: {e['msg'][0].lower()}{e['msg'][1:]}{found}")
    return problem(request, 422, "invalid-parameter", "A parameter is invalid", "; ".join(parts))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  for the type checker
    phrase = HTTPStatus(error.status_code).phrase
    # The framework names the methods of one route, and a path may have several.
    allowed = ", ".join(_allowed(request)) if error.status_code == 405 else ""
    details = {
        404: f"there is nothing at {request.url.path}; /docs lists what there is",
        405: f"{request.method} is not for {request.url.path}: expected {allowed}",
    }
    detail = details.get(error.status_code, str(error.detail))
    answer = problem(request, error.status_code, phrase.lower().replace(" ", "-"), phrase, detail)
    answer.headers.update(error.headers or {})
    if allowed:
        answer.headers["Allow"] = allowed
    return answer


def _allowed(request: Request) -> list[str]:
    methods: set[str] = set()
    for method in ("GET", "POST"):
        scope = {**request.scope, "method": method}
        if any(route.matches(scope)[0] is Match.FULL for route in request.app.router.routes):
            methods |= {method, "HEAD"} if method == "GET" else {method}
    return sorted(methods)


async def _gone(request: Request, error: Exception) -> Response:  # noqa: ARG001
    return Response(status_code=CLIENT_CLOSED_REQUEST)


async def _unexpected(request: Request, error: Exception) -> Response:
    logger.error("unexpected error", exc_info=error)
    detail = "an unexpected error; the log has it under this request_id"
    return problem(request, 500, "internal-server-error", "Internal Server Error", detail)


class ErrorsAsProblems:
    """Answers the errors of the middlewares inside it, and unexpected ones within the headers set outside it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def send_noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, send_noting)
        except Exception as error:
            if started:
                raise
            await (await answer_error(Request(scope), error))(scope, receive, send)


def add_error_handlers(app: FastAPI) -> None:
    """Answer every way to fail with a problem."""
    handlers: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
        ReparamError: answer_error,
        RequestValidationError: _invalid,
        HTTPException: _http,
        ClientDisconnect: _gone,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
