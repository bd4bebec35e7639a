"""Tensors: what a function takes and answers, and how one comes in, as JSON or as bytes."""

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from app.numbers import kind_of
from models.errors import InputError, ShapeError

Values = npt.NDArray[Any]

FLOATS = ("FP32", "FP64", "FP16", "BF16")
INTEGERS = ("INT64", "INT32", "INT16", "INT8", "UINT64", "UINT32", "UINT16", "UINT8")
# Bytes are little-endian. NumPy has no BF16: it is the upper half of a float32.
DTYPES: dict[str, np.dtype[Any]] = {
    "FP64": np.dtype("<f8"),
    "FP32": np.dtype("<f4"),
    "FP16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    **{name: np.dtype(name.lower()).newbyteorder("<") for name in INTEGERS},
}


class Tensor(NamedTuple):
    """An input or output of a function, as its metadata say; a size of -1 is any."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    takes: tuple[str, ...] = ()  # the datatypes that an input may come in
    also: tuple[tuple[int, ...], ...] = ()  # other shapes that an input may come in
    optional: bool = False


class Input(NamedTuple):
    """A tensor of a request: still as it came, but for its shape, which is no negative."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: list[Any] | memoryview


def check_shape(tensor: Tensor, found: Input) -> None:
    """Raises: ShapeError: if the input's shape is none that the function takes."""
    forms = (tensor.shape, *tensor.also)
    if not any(
        len(form) == len(found.shape) and all(a in (-1, b) for a, b in zip(form, found.shape, strict=True))
        for form in forms
    ):
        expected = " or ".join(_shown(form) for form in forms)
        raise ShapeError(f"{found.name}: expected shape {expected}, found {_shown(found.shape)}")


def read_values(tensor: Tensor, found: Input) -> Values:
    """The numbers of an input, in its shape: floats as finite float32, whole numbers as they are.

    JSON's numbers are taken at the precision that they are written with, whatever float the datatype names.
    Raises: InputError: on another datatype, or a number that is not finite, or beyond float32 or the datatype.
        ShapeError: if there are not as many as the shape says.
    """
    if found.datatype not in tensor.takes:
        raise InputError(f"{found.name}: expected datatype {' or '.join(tensor.takes)}, found {found.datatype!r:.80}")
    floats = found.datatype in FLOATS
    if isinstance(found.data, memoryview):
        values = _from_bytes(found, found.data)
    elif floats:
        values = np.array(_numbers(found, found.data, {float, int}), np.float64)
    else:
        values = _whole(found, _numbers(found, found.data, {int}))
    if floats:
        with np.errstate(over="ignore", invalid="ignore"):
            values = values.astype(np.float32)
        if not np.isfinite(values).all():
            raise InputError(f"{found.name}: expected finite numbers within float32's range, found others")
    return values.reshape(found.shape)


def _from_bytes(found: Input, data: memoryview) -> Values:
    dtype = DTYPES[found.datatype]
    expected = math.prod(found.shape) * dtype.itemsize
    if data.nbytes != expected:
        raise ShapeError(
            f"{found.name}: expected {expected} bytes for {found.datatype} of shape {_shown(found.shape)}, "
            f"found {data.nbytes}"
        )
    values = np.frombuffer(data, dtype)
    return (values.astype(np.uint32) << 16).view(np.float32) if found.datatype == "BF16" else values


def _numbers(found: Input, data: list[Any], kinds: set[type]) -> Sequence[Any]:
    """`data` in a row, row by row, whether it came so or as nested lists."""
    expected = f"{math.prod(found.shape)} numbers in a row, or nested as {_shown(found.shape)}"
    row: Sequence[Any] = data
    if any(isinstance(part, list) for part in data):
        level: list[Any] = [data]
        for size in found.shape:
            if not all(isinstance(part, list) and len(part) == size for part in level):
                raise ShapeError(f"{found.name}: data: expected {expected}, found lists of other lengths")
            level = list(chain.from_iterable(level))
        row = level
    elif len(data) != math.prod(found.shape):
        raise ShapeError(f"{found.name}: data: expected {expected}, found {len(data)} in a row")
    if not set(map(type, row)) <= kinds:  # a bool is an int to isinstance
        other = next(number for number in row if type(number) not in kinds)
        shown = str(other) if type(other) is float else kind_of(other)
        raise InputError(f"{found.name}: data: expected {found.datatype} numbers, found {shown}")
    return row


def _whole(found: Input, numbers: Sequence[int]) -> Values:
    dtype = DTYPES[found.datatype]
    info = np.iinfo(dtype)
    if min(numbers, default=0) < info.min or max(numbers, default=0) > info.max:
        raise InputError(
            f"{found.name}: data: expected {found.datatype} numbers, {info.min} to {info.max}, found others"
        )
    return np.array(numbers, dtype)


def _shown(shape: tuple[int, ...]) -> str:
    text = ", ".join("N" if size == -1 else str(size) for size in shape)
    return f"[{text:.80}]"
