"""What surrounds every request, and the start itself."""

import sys

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.errors import ReparamError


class HeadAsGet:
    """Answers HEAD wherever GET is answered (RFC 9110, section 9.3.2); the server leaves the body out."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD":
            as_get = {**scope, "method": "GET"}
            await self.app(as_get, receive, send)
            scope["route"] = as_get.get("route")
            return
        await self.app(scope, receive, send)


class PlainStartError:
    """Tells an expected error at start-up, a bad checkpoint say, as its one line instead of a traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_plainly(message: Message) -> None:
            error = sys.exception()
            if message["type"] == "lifespan.startup.failed" and isinstance(error, ReparamError):
                message["message"] = str(error)
            await send(message)

        await self.app(scope, receive, send_plainly if scope["type"] == "lifespan" else send)
