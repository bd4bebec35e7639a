"""JSON in the bodies of requests and answers, read and written without stopping the process for long."""

from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from app.errors import LimitError, MalformedError
from app.numbers import kind_of
from app.streams import Body

# What is no larger is read on the event loop: JSON of a dozen images takes a millisecond.
INLINE_BYTES = 64 * 2**10
_MAX_MEMBERS = 64  # of the objects of large JSON together, of which a call needs a few
# While JSON is read nothing else runs in the process, for 25 ns a value and 150 ns a list.
_BYTES_OF_A_VALUE, _BYTES_OF_A_LIST = 4, 24  # that it counts for, however few it has: 8 MiB are 50 ms

_PIECE = 2**16  # numbers: as JSON some milliseconds


def load_object(body: Body, max_json_bytes: int, length: int | None = None) -> dict[str, Any]:
    """A JSON object.

    Args:
        max_json_bytes: of the largest body, for which a value counts as four bytes at least, and a list as 24.
        length: of the object, where the body goes on after it.
    Raises: MalformedError. LimitError: if it has too many values.
    """
    length = len(body) if length is None else length
    if length > INLINE_BYTES:
        members = body.count(b":", 0, length) - body.count(b'"data:', 0, length)  # a data URL has a colon of its own
        if members > _MAX_MEMBERS or body.count(b"{", 0, length) > _MAX_MEMBERS:
            raise MalformedError("body: expected a JSON object of lists, found many members")
        counted = _BYTES_OF_A_VALUE * body.count(b",", 0, length) + _BYTES_OF_A_LIST * body.count(b"[", 0, length)
        if counted > max_json_bytes:
            what = f"JSON, of {_BYTES_OF_A_VALUE} bytes a value and {_BYTES_OF_A_LIST} a list"
            raise LimitError(what, "max_json_bytes", max_json_bytes, f"{counted}; more can be sent as bytes")
    try:
        document = orjson.loads(memoryview(body)[:length])
    except orjson.JSONDecodeError as error:
        raise MalformedError(f"body: not JSON: {error}") from error
    if not isinstance(document, dict):
        raise MalformedError(f"body: expected a JSON object, found {kind_of(document)}")
    return document


def dump_object(document: dict[str, Any]) -> bytes:
    """A document as JSON, its NumPy arrays as nested lists of numbers."""
    members = {name: in_pieces(value) if _is_long(value) else value for name, value in document.items()}
    return orjson.dumps(members, option=orjson.OPT_SERIALIZE_NUMPY)


def _is_long(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.size > _PIECE


def in_pieces(array: npt.NDArray[Any]) -> orjson.Fragment:
    """An array (N, ...) as JSON, some rows at a time: while they are written nothing else runs in the process."""
    rows = max(1, _PIECE // max(1, array[:1].size))
    pieces = (array[start : start + rows] for start in range(0, len(array), rows))
    written = b",".join([orjson.dumps(piece, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1] for piece in pieces])
    return orjson.Fragment(b"".join((b"[", written, b"]")))
