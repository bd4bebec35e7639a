"""What every answer tells browsers not to do with it."""

import re
from base64 import b64encode
from hashlib import sha256

from starlette.types import ASGIApp, Message, Receive, Scope, Send

NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
INLINE_SCRIPT = re.compile(rb"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL | re.IGNORECASE)


def page_policy(page: bytes) -> str:
    """The Content-Security-Policy of a page of ours: files of this service, and the scripts in the page itself.

    Swagger UI writes styles into the page and images into the styles, and shows pictures as blobs.
    """
    hashes = (b64encode(sha256(script).digest()).decode() for script in INLINE_SCRIPT.findall(page))
    scripts = " ".join(["'self'", *(f"'sha256-{digest}'" for digest in hashes)])
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


def always(cross_origin: bool = False) -> list[tuple[bytes, bytes]]:
    """The headers of every answer.

    Args:
        cross_origin: pages of other origins may embed it.
    """
    return [
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"x-frame-options", b"DENY"),
        (b"cross-origin-resource-policy", b"cross-origin" if cross_origin else b"same-origin"),
    ]


class SecurityHeaders:
    """Adds the security headers to every answer.

    A page is held until it is whole, for the hashes of its scripts, unless it brings a policy of its own.
    """

    def __init__(self, app: ASGIApp, cross_origin: bool = False) -> None:
        self.app = app
        self.always = always(cross_origin)
        self.answer = [*self.always, (b"content-security-policy", NOTHING.encode())]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        held: Message | None = None
        page = bytearray()

        async def send_safely(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start":
                headers = message.get("headers", ())
                own = html = False
                for name, value in headers:
                    own = own or name == b"content-security-policy"
                    html = html or (name == b"content-type" and value.startswith(b"text/html"))
                if html and not own:
                    held = message
                    return
                # A cache puts the headers of a 304 onto what it has, which may be a page.
                added = self.always if own or message["status"] == 304 else self.answer
                message["headers"] = [*headers, *added]
            elif held is not None:
                page.extend(message.get("body", b""))
                if message.get("more_body", False):
                    return
                policy = (b"content-security-policy", page_policy(bytes(page)).encode())
                await send({**held, "headers": [*held["headers"], *self.always, policy]})
                held, message = None, {"type": "http.response.body", "body": bytes(page)}
            await send(message)

        await self.app(scope, receive, send_safely)
