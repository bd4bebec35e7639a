"""Who may call, from where, how often, and what browsers may do with the answers: a middleware each."""

import logging

from fastapi import FastAPI
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app.access.addresses import Unmap, is_loopback
from app.access.cors import Cors
from app.access.headers import SecurityHeaders
from app.access.keys import Keys, RequireKey, declare_keys
from app.errors import ErrorsAsProblems
from app.settings import Settings

__all__ = ["Keys", "add_access", "check_access", "declare_keys"]

logger = logging.getLogger(__name__)


def add_access(app: FastAPI, settings: Settings, keys: Keys | None = None) -> None:
    """Add the middlewares that the settings ask for, around those that the application has.

    From the outside: security headers, CORS, errors as problems, proxies, keys, rate limits.

    Args:
        keys: those that the settings ask for; left out, they are loaded.
    Raises:
        InputError: a setting cannot be followed.
    """
    keys = keys or Keys.load(settings)
    limiter = None
    if settings.rate_limit is not None:
        from app.access.rates import RateLimit, RateLimiter  # `limits` takes 0.1 s to import

        limiter = RateLimiter.load(settings.rate_limit, settings)
        app.add_middleware(RateLimit, limiter)
    if keys:
        app.add_middleware(RequireKey, keys, settings, limiter)
    if settings.trusted_proxies:
        app.add_middleware(ProxyHeadersMiddleware, [str(network) for network in settings.trusted_proxies])
        app.add_middleware(Unmap)
    app.add_middleware(ErrorsAsProblems)
    if settings.cors_origins:
        app.add_middleware(Cors, settings.cors_origins)
    app.add_middleware(SecurityHeaders, cross_origin=bool(settings.cors_origins))


def check_access(settings: Settings) -> Keys | None:
    """Fail the start before there are workers, and warn once if whoever reaches the address may call.

    Returns: the keys that every worker takes, one that starts later too.
    Raises:
        InputError: a setting cannot be followed.
    """
    keys = Keys.load(settings)
    if settings.rate_limit is not None:
        from app.access.rates import RateLimiter

        RateLimiter.load(settings.rate_limit, settings)
    elif settings.rate_limit_storage is not None:
        logger.warning("REPARAM_RATE_LIMIT_STORAGE is set, and nothing is counted there: set REPARAM_RATE_LIMIT")
    if not settings.keyed and not is_loopback(settings.host):
        logger.warning(
            "%s can be reached by other machines, and no key is asked of them: set REPARAM_API_KEYS_FILE", settings.host
        )
    return keys
