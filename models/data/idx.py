"""The IDX format, in which MNIST is published: a short header, then one array in big-endian order.

Source: http://yann.lecun.com/exdb/mnist/, "The IDX file format".
"""

import gzip
import math
import sys
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from models.data.unpacked import CHUNK_BYTES, open_unpacked
from models.errors import DataError

DTYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
MAX_DIMENSIONS = 64  # NumPy's own limit; the format could say 255


def read_idx(path: Path) -> npt.NDArray[Any]:
    """Read one IDX file, plain or gzip.

    Returns: an array of the shape and type in the header, in this machine's byte order.
    Raises: DataError: if the file cannot be read, or is not exactly one IDX array.
    """
    path = Path(path)
    with open_unpacked(path) as stream:
        dtype, shape = _read_header(stream, path)
        expected = dtype.itemsize * math.prod(shape)
        # One byte more than needed: it finds trailing bytes, and takes gzip to the checksum at its end.
        content = _read_at_most(stream, expected + 1)
    if len(content) != expected:
        found = f"{len(content):,}" if len(content) < expected else "more"
        raise DataError(f"{path}: expected {expected:,} bytes for {dtype.name} {shape}, found {found}")
    return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def write_idx(path: Path, array: npt.NDArray[Any]) -> None:
    """Write `array` as an IDX file: gzip if the name ends in `.gz`, else plain.

    No time and no name goes into the gzip header: the same array gives the same bytes.

    Raises: DataError: if IDX has no such type or shape, or the file cannot be written.
    """
    path = Path(path)
    dtype = array.dtype.newbyteorder(">")
    code = next((code for code, known in DTYPES.items() if known == dtype), None)
    if code is None:
        known = ", ".join(each.name for each in DTYPES.values())
        raise DataError(f"{path}: expected an array of {known}, found {array.dtype}")
    if not 1 <= array.ndim <= MAX_DIMENSIONS or max(array.shape) >= 1 << 32:
        raise DataError(f"{path}: expected 1 to {MAX_DIMENSIONS} dimensions below 2**32, found {array.shape}")
    header = bytes([0, 0, code, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    content = header + array.astype(dtype).tobytes()
    try:
        with path.open("wb") as file:
            if path.suffix == ".gz":
                with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as stream:
                    stream.write(content)
            else:
                file.write(content)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from error


def _read_header(stream: BinaryIO, path: Path) -> tuple[np.dtype[Any], tuple[int, ...]]:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise DataError(f"{path}: expected an IDX file, which starts with two zero bytes, found {magic!r}")
    code, dimensions = magic[2:]
    if code not in DTYPES:
        known = ", ".join(f"0x{each:02x}" for each in DTYPES)
        raise DataError(f"{path}: expected one of the IDX type codes {known}, found 0x{code:02x}")
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise DataError(f"{path}: expected 1 to {MAX_DIMENSIONS} dimensions, found {dimensions}")
    sizes = stream.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise DataError(f"{path}: expected {4 * dimensions} bytes of dimensions, found {len(sizes)}")
    shape = tuple(np.frombuffer(sizes, ">u4").tolist())
    # A dimension of zero makes the content empty, yet NumPy still wants the product of the others to fit.
    if DTYPES[code].itemsize * math.prod(size for size in shape if size) > sys.maxsize:
        raise DataError(f"{path}: expected dimensions that fit in memory, found {shape}")
    return DTYPES[code], shape


def _read_at_most(stream: BinaryIO, size: int) -> bytearray:
    """Grow with what is really there: a header may promise any size; `read(size)` would reserve it all."""
    content = bytearray()
    while len(content) < size and (chunk := stream.read(min(CHUNK_BYTES, size - len(content)))):
        content += chunk
    return content
