"""What a call takes as parameters of its address."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from fastapi import Request
from fastapi.dependencies.utils import get_dependant, get_flat_params
from fastapi.params import Cookie, Header, Path

from app.errors import ParameterError


async def known_parameters(request: Request) -> None:
    """A query parameter that the call does not know is an error: a misspelt one would be silently without effect.

    Raises: ParameterError.
    """
    if not request.query_params:
        return
    known = _names(request.scope["route"].path, request.scope["endpoint"])
    unknown = sorted(request.query_params.keys() - known)
    if unknown:
        raise ParameterError(f"query: expected {', '.join(sorted(known)) or 'none'}, found {', '.join(unknown)[:200]}")


@lru_cache(maxsize=256)
def _names(path: str, endpoint: Callable[..., Any]) -> frozenset[str]:
    parameters = get_flat_params(get_dependant(path=path, call=endpoint))
    return frozenset(field.alias for field in parameters if not isinstance(field.field_info, Path | Header | Cookie))
