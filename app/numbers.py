"""Numbers that come as nested lists: checked one by one before NumPy sees them, which makes arrays of anything."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from models.errors import InputError, ShapeError

Array = npt.NDArray[np.float32]


def rows_of_numbers(name: str, values: Any, width: int, shape: tuple[int, int] | None = None) -> Array:
    """A list of N rows of `width` numbers as (N, width) float32, finite.

    Args:
        name: of the list, for the messages.
        shape: where a row may also be `shape[0]` lists of `shape[1]` numbers.
    Raises: ShapeError: if it is no list of such rows. InputError: if one of them is no number, or beyond float32.
    """
    expected = f"{width} numbers" + (f", or of {shape[0]} lists of {shape[1]}" if shape else "")
    if not isinstance(values, list):
        raise ShapeError(f"{name}: expected a list of lists of {expected}, found {kind_of(values)}")
    rows = [_flat(f"{name}[{i}]", row, width, shape, expected) for i, row in enumerate(values)]
    with np.errstate(over="ignore"):
        numbers = np.array(rows, np.float32).reshape(len(rows), width)
    finite = np.isfinite(numbers).all(axis=1)
    if not finite.all():
        row = f"{name}[{np.argmin(finite)}]"
        raise InputError(f"{row}: expected finite numbers within float32's range, found others")
    return numbers


def _flat(name: str, row: Any, width: int, shape: tuple[int, int] | None, expected: str) -> Sequence[float]:
    if shape and isinstance(row, list) and len(row) == shape[0] and all(isinstance(part, list) for part in row):
        if any(len(part) != shape[1] for part in row):
            raise ShapeError(f"{name}: expected a list of {expected}, found lists of other lengths")
        row = list(chain.from_iterable(row))
    if not isinstance(row, list) or len(row) != width:
        found = f"a list of {len(row)}" if isinstance(row, list) else kind_of(row)
        raise ShapeError(f"{name}: expected a list of {expected}, found {found}")
    if not set(map(type, row)) <= {float, int}:  # a bool is an int to isinstance
        other = next(number for number in row if type(number) not in (float, int))
        raise InputError(f"{name}: expected numbers, found {kind_of(other)}")
    return row


def kind_of(value: Any) -> str:
    """What JSON calls a value that was not expected."""
    kinds = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")
