"""Which of the forms that a call can answer in its caller likes best."""

import re
from functools import lru_cache

from fastapi import Request

from app.errors import NotAcceptableError
from app.headers import header_values

# Between commas, and within them between semicolons; a quoted string may hold either, and one left open never ends.
_QUOTED = r'"(?:[^"\\]|\\.?)*(?:"|$)'
_RANGES, _PIECES = (re.compile(rf'(?:[^{mark}"]|{_QUOTED})+') for mark in ",;")
_WEIGHT = re.compile(r"0(\.\d*)?|1(\.0*)?|\.\d+")
# What a media type is without saying so: a range that asks for it asks for the type.
_IMPLIED = {"application/json": {"charset=utf-8", 'charset="utf-8"'}}


def choose(request: Request, offered: tuple[str, ...]) -> str:
    """The media type of the answer: of those offered, the one that the Accept header likes best.

    Among equals the first offered wins; a request without the header takes that one too. A range whose weight is no
    number of 0 to 1 is passed over, and so is one with parameters that nothing offered has.
    Raises: NotAcceptableError: if the header rules all of them out.
    Source: RFC 9110, section 12.5.1.
    """
    headers = header_values(request, b"accept")
    return _choose(",".join(headers), offered) if headers else offered[0]


@lru_cache(maxsize=256)
def _choose(header: str, offered: tuple[str, ...]) -> str:
    if not header.strip(" \t,"):
        return offered[0]
    ranges = [read for part in _RANGES.findall(header) if (read := _range(part))]
    weights = [_weight(media, ranges) for media in offered]
    best = max(weights)
    if best == 0:
        raise NotAcceptableError(f"Accept: expected one of {', '.join(offered)}, found {header:.200}")
    return offered[weights.index(best)]


def _range(part: str) -> tuple[str, frozenset[str], float] | None:
    """A media range, its parameters and its weight; None if the weight is malformed."""
    media, _, rest = part.lower().partition(";")
    weight = 1.0
    parameters = set()
    for name, _, value in (piece.strip().partition("=") for piece in _PIECES.findall(rest)):
        if name != "q":
            parameters.add(f"{name}={value}")
        elif _WEIGHT.fullmatch(value):
            weight = float(value)
        else:
            return None
    return media.strip(), frozenset(parameters), weight


def _weight(media: str, ranges: list[tuple[str, frozenset[str], float]]) -> float:
    """What the most specific of the ranges that match says of a media type; 0 if none does."""
    patterns = ("*/*", media.partition("/")[0] + "/*", media)
    matching = [
        (patterns.index(pattern), len(parameters), weight)
        for pattern, parameters, weight in ranges
        if pattern in patterns and parameters <= _IMPLIED.get(media, set())
    ]
    return max(matching, default=(0, 0, 0.0))[2]
