"""Which other web pages may call."""

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import problem

METHODS = ("GET", "HEAD", "POST")
TAKEN = (
    "Authorization",
    "Content-Encoding",
    "Content-Type",
    "If-None-Match",
    "Inference-Header-Content-Length",
    "traceparent",
    "tracestate",
    "X-API-Key",
    "X-Request-ID",
    "X-Request-Timeout-Ms",
)
TOLD = (
    "Accept",
    "Accept-Encoding",
    "ETag",
    "Inference-Header-Content-Length",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Server-Timing",
    "X-Request-ID",
    "X-Seed",
)


class Cors(CORSMiddleware):
    """CORS for the configured origins. A preflight needs no key; one that is refused is a problem."""

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        super().__init__(app, allow_origins=origins, allow_methods=METHODS, allow_headers=TAKEN, expose_headers=TOLD)

    def preflight_response(self, request_headers: Headers) -> Response:
        answer = super().preflight_response(request_headers)
        return answer if answer.status_code == 200 else _RefusedPreflight(answer)


class _RefusedPreflight(Response):
    def __init__(self, answer: Response) -> None:
        super().__init__(status_code=answer.status_code)
        self.why = bytes(answer.body).decode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        detail = (
            f"{self.why}: expected an origin of REPARAM_CORS_ORIGINS, a method of {', '.join(METHODS)} and headers "
        )
        detail += f"of {', '.join(TAKEN)}"
        answer = problem(Request(scope), self.status_code, "cors", "Another origin may not do that", detail)
        await answer(scope, receive, send)
