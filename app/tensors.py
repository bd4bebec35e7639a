"""Arrays as files: NumPy's .npy and safetensors, from bytes and to bytes.

Every number of a file's header is checked against the file before anything is made of it, and the array is a view of
the body; no pickle is ever loaded.
"""

import json
from io import BytesIO
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from app.batching import Rows
from app.errors import MalformedError
from app.numbers import kind_of
from app.streams import Buffer
from models.errors import InputError, ShapeError

Array = npt.NDArray[np.float32]
Values = npt.NDArray[Any]

NPY, SAFETENSORS = "application/x-npy", "application/vnd.safetensors"

_MAX_NPY_HEADER = 1024  # NumPy writes 128 bytes for an array without fields
_MAX_SAFETENSORS_HEADER = 16 * 2**10  # of which metadata may take the most
_MAX_DIMENSIONS = 4
_MAX_DIGITS = 20  # of a number in a header; those of a file's size are fewer
_BITS_OF_ONE = int(np.float32(1).view(np.uint32))
# How the header of each is read, and how many bytes tell its length.
_NPY_FORMATS = {
    (1, 0): (np.lib.format.read_array_header_1_0, 2),
    (2, 0): (np.lib.format.read_array_header_2_0, 4),
}
_DTYPES = {"U8": "|u1", "F16": "<f2", "F32": "<f4", "F64": "<f8"}  # of safetensors, as NumPy has them


def read_npy(body: Buffer) -> Values:
    """The array of a .npy file of format 1 or 2: uint8, float16, float32 or float64, in either byte order.

    Raises: MalformedError: if it is no such file, or its header lies. InputError: if its numbers are of another type.
    """
    start = bytes(memoryview(body)[: _MAX_NPY_HEADER + 12])
    magic, version = start[:6], tuple(start[6:8])
    if magic != np.lib.format.MAGIC_PREFIX:
        raise MalformedError(
            f"body: not a .npy file: expected 93 4e 55 4d 50 59 first, found {magic.hex(' ') or 'none'}"
        )
    if version not in _NPY_FORMATS:
        found = ".".join(map(str, version)) or "none"
        raise MalformedError(f"body: expected a .npy file of format 1.0 or 2.0, found {found}")
    read, size = _NPY_FORMATS[version]
    length, begin = int.from_bytes(start[8 : 8 + size], "little"), 8 + size
    if not 0 < length <= min(len(body) - begin, _MAX_NPY_HEADER):
        raise MalformedError(
            f"body: not a .npy file: expected a header of 1 to {_MAX_NPY_HEADER} bytes within its {len(body)}, "
            f"found one of {length}"
        )
    head = BytesIO(start)
    head.seek(8)
    try:
        shape, fortran_order, dtype = read(head, max_header_size=_MAX_NPY_HEADER)
    except Exception as error:  # of a dozen kinds: the header is parsed as Python, of whose inside they tell
        found = start[begin : begin + length].decode("latin-1")
        raise MalformedError(
            "body: not a .npy file: expected a header such as {'descr': '<f4', 'fortran_order': False, 'shape': "
            f"(1, 784)}}, found {found!r:.200}"
        ) from error
    if dtype.kind + str(dtype.itemsize) not in ("u1", "f2", "f4", "f8"):
        raise InputError(f"body: expected uint8, float16, float32 or float64, found {dtype!s:.80}")
    values = _view(body, head.tell(), dtype, shape)
    return values.reshape(values.shape[::-1]).T if fortran_order else values


def read_safetensors(body: Buffer, *names: str) -> tuple[str, Values]:
    """The one tensor of a safetensors file, of one of these names: U8, F16, F32 or F64.

    Parsed here, since the library copies the tensor twice and takes a name that stands there twice.
    Raises: MalformedError: if it is no such file, or its header lies. InputError: if its numbers are of another type.
    """
    length = int.from_bytes(bytes(memoryview(body)[:8]), "little")
    if len(body) < 8 or not 2 <= length <= min(len(body) - 8, _MAX_SAFETENSORS_HEADER):
        raise MalformedError(
            f"body: not a safetensors file: expected a header of 2 to {_MAX_SAFETENSORS_HEADER} bytes within its "
            f"{len(body)}, found one of {length}"
        )
    header = _read_header(bytes(memoryview(body)[8 : 8 + length]))
    if len(header) != 1 or not header.keys() <= set(names):
        found = ", ".join(sorted(header))[:200] or "none"
        raise MalformedError(f"body: expected one tensor, {' or '.join(names)}, found {found}")
    ((name, tensor),) = header.items()
    if not isinstance(tensor, dict) or tensor.keys() != {"dtype", "shape", "data_offsets"}:
        raise MalformedError(f"{name}: expected dtype, shape and data_offsets in the file's header, found others")
    if tensor["data_offsets"] != [0, len(body) - 8 - length] or not _integers(tensor["data_offsets"]):
        raise MalformedError(
            f"{name}: expected the data_offsets 0 and {len(body) - 8 - length}, as the file is long, found "
            f"{_shown(tensor['data_offsets'])}"
        )
    dtype = _DTYPES.get(tensor["dtype"]) if isinstance(tensor["dtype"], str) else None
    if dtype is None:
        raise InputError(f"{name}: expected U8, F16, F32 or F64, found {_shown(tensor['dtype'])}")
    return name, _view(body, 8 + length, np.dtype(dtype), tensor["shape"])


def as_images(values: Values, image_shape: tuple[int, int]) -> Rows:
    """Images of the model's own size, as they are: (N, H, W), float32 in [0, 1] or uint8, written to by nobody else.

    Args:
        values: (N, H, W), (N, 1, H, W) or (N, H * W); uint8 0..255, or floats 0..1. Contiguous uint8 is not
            copied, nor is float32 in a body that may be written to.
    Raises: ShapeError; InputError: if a number is outside of the range, or none.
    """
    rows, columns = image_shape
    if values.shape[1:] not in ((rows, columns), (1, rows, columns), (rows * columns,)):
        raise ShapeError(
            f"images: expected shape (N, {rows}, {columns}), (N, 1, {rows}, {columns}) or (N, {rows * columns}), "
            f"found {values.shape}"
        )
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values).reshape(-1, rows, columns)
    images = _float32(values)
    if not _within_unit(images):
        low, high = images.min(), images.max()
        raise InputError(f"images: expected numbers in 0..1 (or uint8 in 0..255), found {low:.9g} to {high:.9g}")
    return images.reshape(-1, rows, columns)


def as_latents(values: Values, width: int) -> Array:
    """Latent vectors (N, width) float32, finite; other floats are rounded to it.

    Raises: ShapeError; InputError: if they are no floats, or not finite in float32.
    """
    if values.ndim != 2 or values.shape[1] != width:
        raise ShapeError(f"latents: expected shape (N, {width}), found {values.shape}")
    if values.dtype.kind != "f":
        raise InputError(f"latents: expected float32, float16 or float64, found {values.dtype}")
    latents = _float32(values)
    if not np.isfinite(latents).all():
        raise InputError("latents: expected finite numbers within float32's range, found others")
    return latents


def write_npy(array: Array) -> bytes:
    """A .npy file."""
    head = BytesIO()
    array = np.ascontiguousarray(array)  # before its header is made, which tells the order
    np.lib.format.write_array_header_1_0(head, np.lib.format.header_data_from_array_1_0(array))
    return b"".join((head.getvalue(), array.data.cast("B")))


def write_safetensors(tensors: dict[str, Values], metadata: dict[str, str]) -> bytes:
    """A safetensors file."""
    return save({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, metadata)


def _view(body: Buffer, offset: int, dtype: np.dtype[Any], shape: Any) -> Values:
    """The array that fills the rest of the body. Raises: MalformedError: if it does not, to the byte."""
    if not isinstance(shape, list | tuple) or len(shape) > _MAX_DIMENSIONS or not _integers(shape):
        raise MalformedError(
            f"body: expected a shape of at most {_MAX_DIMENSIONS} whole numbers, found {_shown(shape)}"
        )
    expected, found = prod(shape) * dtype.itemsize, len(body) - offset
    if expected != found:
        shown = str(tuple(shape))[:200]
        raise MalformedError(f"body: expected {expected} bytes of {dtype} for its shape {shown}, found {found}")
    return np.frombuffer(body, dtype, offset=offset).reshape(shape)


def _read_header(text: bytes) -> dict[str, Any]:
    """What a safetensors file's header says of each tensor. Raises: MalformedError."""
    what = "body: not a safetensors file: its header"
    try:
        header = json.loads(text.decode(), object_pairs_hook=_once, parse_int=_whole)
    except UnicodeDecodeError as error:
        raise MalformedError(f"{what}: expected UTF-8, found other bytes") from error
    except json.JSONDecodeError as error:
        raise MalformedError(f"{what}: not JSON: {error}") from error
    except RecursionError as error:
        raise MalformedError(f"{what}: expected JSON that is flat, found a deep nest") from error
    except MalformedError as error:
        raise MalformedError(f"{what}: {error}") from error
    if not isinstance(header, dict):
        raise MalformedError(f"{what}: expected an object, found {kind_of(header)}")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict):
        raise MalformedError(f"{what}: expected an object as __metadata__, found {kind_of(metadata)}")
    if not all(isinstance(value, str) for value in metadata.values()):
        raise MalformedError(f"{what}: expected texts as __metadata__, found others")
    return header


def _integers(values: Any) -> bool:
    return all(type(value) is int and 0 <= value < 2**48 for value in values)  # a bool is an int to isinstance


def _float32(values: Values) -> Array:
    """Contiguous, aligned and writeable, which is what torch takes; float64 beyond the range becomes infinite."""
    with np.errstate(over="ignore"):
        return np.require(values, np.float32, ["C", "A", "W"])


def _within_unit(values: Array) -> bool:
    """Whether all are in 0..1. As whole numbers, the bits of those are below the bits of all others but of -0."""
    if values.view(np.uint32).max(initial=0) <= _BITS_OF_ONE:
        return True
    return bool(values.min() >= 0 and values.max() <= 1)  # NaN is neither


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, each of whose names stands there once."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedError("expected every name once, found one twice")
    return members


def _whole(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise MalformedError(f"expected whole numbers of at most {_MAX_DIGITS} digits, found one of {len(digits)}")
    return int(digits)


def _shown(value: object) -> str:
    try:
        return str(value)[:80]
    except RecursionError:
        return "a deep nest"
