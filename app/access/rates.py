"""Rate limits: how often a caller may call."""

import asyncio
import logging
import re
import time
from contextlib import suppress
from math import ceil
from typing import Literal, Self
from urllib.parse import urlsplit

from limits import RateLimitItem, parse_many
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.storage import Storage as CountStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import metrics
from app.access.addresses import client
from app.access.paths import PROBES, STATIC
from app.errors import RateLimitedError, UncountedError
from app.settings import Settings
from models.errors import InputError

MEMORY, REDIS = "memory", ("redis", "rediss")
CONNECTIONS = 16  # to Redis, of a worker
RETRY_S = 1  # how long a storage that failed is left alone
NOBODY = "check"  # no caller is called so
SWEEP_S = 10  # how often what has expired is dropped from memory

logger = logging.getLogger(__name__)


class RateLimiter:
    """Counts requests in sliding windows, and tells where a caller stands (draft-ietf-httpapi-ratelimit-headers-11).

    A sliding window is two counters a caller, whatever the limit; a moving window, which is exact, remembers every
    request, and a fixed one lets twice the limit pass around its edge.
    """

    def __init__(
        self,
        limits: list[RateLimitItem],
        storage: CountStorage,
        on_failure: Literal["open", "closed"],
        timeout_s: float,
        patience_s: float,
    ) -> None:
        self.limits = sorted(limits, key=RateLimitItem.get_expiry)
        self.window = SlidingWindowCounterRateLimiter(storage)
        self.on_failure = on_failure
        self.timeout_s, self._patience_s = timeout_s, patience_s
        self.policy = ", ".join(f'"{_name(limit)}";q={limit.amount};w={limit.get_expiry()}' for limit in self.limits)
        self._retry_at: float | None = None  # of a storage that failed
        self._turns = asyncio.Semaphore(CONNECTIONS)  # to wait for one is no failure of the storage

    @classmethod
    def load(cls, limits: str, settings: Settings) -> Self:
        """The limiter with these limits, otherwise as the settings say.

        Raises:
            InputError: the limit or the storage is not one, or the storage's package is not installed.
        """
        return cls(
            _parsed(limits),
            _storage(settings),
            settings.rate_limit_on_failure,
            settings.rate_limit_timeout_ms / 1000,
            settings.request_timeout_s,
        )

    async def count(self, caller: str) -> dict[str, str]:
        """Count a request of this caller.

        Returns: the header fields of its answer.
        Raises:
            RateLimitedError: it is one too many.
            UncountedError: the storage fails, and requests are refused then; or its turn to be counted does not come.
        """
        if self._left_alone():
            return self._uncounted()
        try:
            async with asyncio.timeout(self._patience_s if self._turns.locked() else None):  # else it is not waited for
                await self._turns.acquire()
        except TimeoutError:
            raise UncountedError(
                f"expected to count the request within {self._patience_s:g} s (request_timeout_s, set by "
                "REPARAM_REQUEST_TIMEOUT_S), found too many before it; try again later"
            ) from None
        try:
            return await self._count_in_turn(caller)
        finally:
            self._turns.release()

    def _left_alone(self) -> bool:
        return self._retry_at is not None and time.monotonic() < self._retry_at

    async def _count_in_turn(self, caller: str) -> dict[str, str]:
        if self._left_alone():  # it failed meanwhile
            return self._uncounted()
        if self._retry_at is not None:
            self._retry_at = time.monotonic() + RETRY_S  # the others go on until this one knows
        try:
            async with asyncio.timeout(self.timeout_s):
                fields = await self._count(caller)
        except (StorageError, OSError) as error:
            if self._retry_at is None:
                logger.warning(self._told(error))
            self._retry_at = time.monotonic() + RETRY_S
            return self._uncounted()
        if self._retry_at is not None:
            self._retry_at = None
            logger.warning("rate limits: the storage answers again; requests are counted")
        return fields

    def _told(self, error: Exception) -> str:
        then = "let pass uncounted" if self.on_failure == "open" else "refused"
        why = f"{type(error).__name__} {error}".strip()
        return f"rate limits: the storage does not count ({why}); requests are {then} until it does"

    async def check(self) -> str | None:
        """Count one request of nobody, and forget it. Returns: what is wrong, and what follows; None: it counts."""
        try:
            async with asyncio.timeout(self.timeout_s):
                with suppress(RateLimitedError):  # of another one that checks
                    await self._count(NOBODY)
                for limit in self.limits:
                    await self.window.clear(limit, NOBODY)
        except (StorageError, OSError) as error:
            return self._told(error)
        finally:
            await self.close()
        return None

    async def close(self) -> None:
        """Close the storage's connections."""
        if isinstance(self.window.storage, RedisStorage):
            await self.window.storage.bridge.storage.aclose(close_connection_pool=True)  # type: ignore[attr-defined]

    async def _count(self, caller: str) -> dict[str, str]:
        """Asks the limits in turn, the shortest window first; a request that one refuses is not counted by the next."""
        standings = []
        for limit in self.limits:
            passes = await self.window.hit(limit, caller)
            reset, remaining = await self.window.get_window_stats(limit, caller)
            seconds = max(1, ceil(reset - time.time()))
            standings.append(f'"{_name(limit)}";r={remaining if passes else 0};t={seconds}')
            fields = {"RateLimit-Policy": self.policy, "RateLimit": ", ".join(standings)}
            if not passes:
                raise RateLimitedError(
                    f"expected at most {limit.amount} requests in {limit.get_expiry()} s; wait {seconds} s",
                    fields | {"Retry-After": str(seconds)},
                )
        return fields

    def _uncounted(self) -> dict[str, str]:
        metrics.uncounted()
        if self.on_failure == "open":
            return {}
        raise UncountedError("expected to count the request, found no storage to count in; try again later")


def _name(limit: RateLimitItem) -> str:
    return f"{limit.get_expiry()}s"


def _parsed(text: str) -> list[RateLimitItem]:
    try:
        limits = parse_many(text)
    except ValueError:
        limits = []
    if not limits or any(limit.amount < 1 or limit.get_expiry() < 1 for limit in limits):
        raise InputError(
            f"REPARAM_RATE_LIMIT: expected limits such as 100/second or 10/second;1000/hour, found {text!r}"
        )
    return limits


class SweptMemory(MemoryStorage):
    """The memory storage of `limits`, which goes through everything at every count to drop what has expired: at 20,000
    callers 3 ms a request. This one does so every `SWEEP_S`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._sweep_at = 0.0

    async def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        now = time.time()
        if now >= self._sweep_at:
            for expired in [name for name, end in self.expirations.items() if end <= now]:
                await self.clear(expired)
            self._sweep_at = now + SWEEP_S
        self.expirations.setdefault(key, now + expiry)
        self.storage[key] += amount
        return self.storage[key]


def _storage(settings: Settings) -> CountStorage:
    secret = settings.rate_limit_storage
    url = secret.get_secret_value() if secret is not None else "memory://"
    scheme = _scheme(url)
    if scheme == MEMORY:
        return SweptMemory()
    if scheme not in REDIS:  # the rest may hold a password
        raise InputError(
            f"REPARAM_RATE_LIMIT_STORAGE: expected memory:// or redis(s)://HOST:PORT/DB, found {scheme or 'no scheme'}"
        )
    try:
        from redis import RedisError
        from redis.asyncio import BlockingConnectionPool
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ImportError:
        raise InputError(
            f"REPARAM_RATE_LIMIT_STORAGE={scheme}://...: expected the redis package, which is not installed: "
            "pip install -c constraints.txt -e '.[redis]'"
        ) from None
    timeout_s = settings.rate_limit_timeout_ms / 1000
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 1),  # a connection that idled may have been closed, which says nothing of Redis
        )
        # Not connected yet: an unknown option of the URL fails here, and not with each request.
        pool.make_connection()  # type: ignore[no-untyped-call]
    except (ValueError, TypeError, RedisError) as error:
        raise InputError(f"REPARAM_RATE_LIMIT_STORAGE={scheme}://...: {error}") from None
    return RedisStorage(
        "redis://",  # the pool has the rest
        wrap_exceptions=True,
        implementation="redispy",
        key_prefix="reparam",
        connection_pool=pool,  # type: ignore[arg-type]
    )


def _scheme(url: str) -> str:
    """Raises: InputError: if what follows it has another form; nothing of that is told, for it may be a password's."""
    try:
        parts = urlsplit(url)
        _ = parts.port
        whole = "@" not in parts.path + parts.query + parts.fragment
        if whole and (parts.scheme not in REDIS or re.fullmatch(r"(/\d*)?", parts.path)):
            return parts.scheme
    except ValueError:
        pass
    raise InputError(
        "REPARAM_RATE_LIMIT_STORAGE: expected redis(s)://HOST:PORT/DB, found another form; in a password :, /, ?, # "
        "and @ are written %3A, %2F, %3F, %23 and %40"
    )


class RateLimit:
    """Counts each request by its key or else its address, and refuses those over a limit.

    Neither the probes' are counted, `/metrics` included, nor those for the files of a page, of which one look takes
    dozens.
    """

    def __init__(self, app: ASGIApp, limiter: RateLimiter) -> None:
        self.app = app
        self.limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":

            async def send_closed(message: Message) -> None:
                # Once it is told that the service has ended, the server waits for nothing.
                if message["type"] != "lifespan.startup.complete":
                    await self.limiter.close()
                await send(message)

            await self.app(scope, receive, send_closed)
            return
        if scope["path"] in PROBES or scope["path"].startswith(STATIC):
            await self.app(scope, receive, send)
            return
        key_id = scope.get("state", {}).get("key_id")
        fields = await self.limiter.count(f"key:{key_id}" if key_id else f"address:{client(scope)}")
        added = [(name.lower().encode(), value.encode()) for name, value in fields.items()]

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *added]
            await send(message)

        await self.app(scope, receive, send_counted)
