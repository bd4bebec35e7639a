"""API keys: who may call."""

import hmac
import re
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.access.addresses import client
from app.access.paths import DOCS, HEALTH, METRICS, STATIC
from app.errors import UnauthorizedError
from app.settings import Settings
from models.errors import InputError

if TYPE_CHECKING:
    from app.access.rates import RateLimiter

SHORTEST_KEY = 16
KEY = re.compile(rf"[!-~]{{{SHORTEST_KEY},}}")
HOW = "Authorization: Bearer KEY or X-API-Key: KEY"
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="reparam"'}


class Keys:
    """The keys that are valid, kept as SHA-256 hashes. Several are, while callers move from an old one to a new one."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._hashes = tuple({sha256(key.encode()).digest() for key in keys})

    @classmethod
    def load(cls, settings: Settings) -> Self | None:
        """The keys of the settings and of their file; None if neither is set.

        Raises:
            InputError: a source that is set has no key, cannot be read, or has a key that could be guessed.
        """
        keys: list[str] = []
        if settings.api_keys is not None:
            keys += _checked("REPARAM_API_KEYS", settings.api_keys.get_secret_value().split(","))
        if settings.api_keys_file is not None:
            keys += _checked(f"REPARAM_API_KEYS_FILE={settings.api_keys_file}", _lines(settings.api_keys_file))
        return cls(keys) if keys else None

    def identify(self, key: bytes) -> str | None:
        """The id of a valid key, eight hexadecimal digits of its hash, which may be told; None if it is not valid.

        Takes the same time whichever key is the one.
        """
        presented = sha256(key).digest()
        found = [valid for valid in self._hashes if hmac.compare_digest(valid, presented)]
        return found[0].hex()[:8] if found else None


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()  # without the mark that Windows begins a file with
    except (OSError, UnicodeError) as error:
        found = error.strerror if isinstance(error, OSError) else "bytes that are not UTF-8"
        raise InputError(
            f"REPARAM_API_KEYS_FILE={path}: expected a file with one key per line, found: {found}"
        ) from None
    return [line for line in lines if not line.lstrip().startswith("#")]


def _checked(source: str, keys: Iterable[str]) -> list[str]:
    found = [key.strip() for key in keys if key.strip()]
    if not found:
        raise InputError(f"{source}: expected a key or more, found none; leave it unset to serve without keys")
    for number, key in enumerate(found, 1):
        if not KEY.fullmatch(key):
            wrong = f"{len(key)} characters" if len(key) < SHORTEST_KEY else "a space or a character that is not ASCII"
            raise InputError(
                f"{source}: expected keys of {SHORTEST_KEY} characters or more, ASCII without spaces; "
                f"found {wrong} in key {number}"
            )
    return found


def _open(settings: Settings) -> frozenset[str]:
    return HEALTH | (DOCS if settings.open_docs else set()) | (METRICS if settings.open_metrics else set())


class RequireKey:
    """Lets a request pass if it has a valid key, whose id goes into its state, or if its path is an open one.

    Requests that are refused are counted by their address, so that guessing is slow; a valid key is never refused for
    what others at its address did.
    """

    def __init__(self, app: ASGIApp, keys: Keys, settings: Settings, limiter: "RateLimiter | None" = None) -> None:
        self.app = app
        self.keys = keys
        self.limiter = limiter
        self.open = _open(settings)
        self.open_folders = STATIC if settings.open_docs else ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"] in self.open or scope["path"].startswith(self.open_folders):
            await self.app(scope, receive, send)
            return
        try:
            scope.setdefault("state", {})["key_id"] = self._authenticate(scope)
        except UnauthorizedError as error:
            if self.limiter:
                error.headers |= await self.limiter.count(f"refused:{client(scope)}")
            raise

        async def send_varied(message: Message) -> None:
            # A shared cache must not give an answer to who has another key, or none.
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"vary", b"Authorization, X-API-Key")]
            await send(message)

        await self.app(scope, receive, send_varied)

    def _authenticate(self, scope: Scope) -> str:
        presented, other = set(), False
        for name, value in scope["headers"]:
            if name == b"x-api-key":
                presented.add(value.strip())
            elif name == b"authorization":
                scheme, _, key = value.strip().partition(b" ")
                if scheme.lower() == b"bearer" and key.strip():
                    presented.add(key.strip())
                else:
                    other = True  # a proxy's own login, say, beside X-API-Key
        if other and not presented:
            raise UnauthorizedError("Authorization: expected Bearer KEY, found something else", CHALLENGE)
        if not presented:
            raise UnauthorizedError(f"expected a key, as {HOW}; found none", CHALLENGE)
        if len(presented) > 1:
            raise UnauthorizedError(f"expected one key, as {HOW}; found different ones", CHALLENGE)
        key_id = self.keys.identify(presented.pop())
        if key_id is None:
            raise UnauthorizedError(f"expected a valid key, as {HOW}; found one that is not valid", CHALLENGE)
        return key_id


def declare_keys(schema: dict[str, Any], settings: Settings) -> None:
    """Say in an OpenAPI schema that calls need a key, in either header; Swagger UI then asks for it (Authorize)."""
    schema["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "Authorization: Bearer KEY"},
        "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "X-API-Key: KEY"},
    }
    schema["security"] = [{"bearer": []}, {"apiKey": []}]
    for path in _open(settings) & schema["paths"].keys():
        for operation in schema["paths"][path].values():
            operation["security"] = []
