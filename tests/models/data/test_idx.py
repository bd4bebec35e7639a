import gzip
import math
import struct
import tracemalloc
from pathlib import Path

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.data import read_idx, write_idx
from models.errors import DataError

CODES = {0x08: "u1", 0x09: "i1", 0x0B: "i2", 0x0C: "i4", 0x0D: "f4", 0x0E: "f8"}
ARRAYS = hnp.arrays(
    st.sampled_from([np.dtype(order + name) for name in CODES.values() for order in "<>"]),
    hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5),
)
# A busy machine is no reason to fail.
law = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
SMALL = bytes([0, 0, 0x08, 2]) + struct.pack(">2I", 2, 3) + bytes([1, 2, 3, 4, 5, 6])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all the examples that Hypothesis makes of a test."""
    return tmp_path_factory.mktemp("idx")


def file(folder: Path, content: bytes) -> Path:
    path = folder / "digits"
    path.write_bytes(content)
    return path


def fails(path: Path) -> str:
    """The message of the error that `path` must give: one line that names the file."""
    with pytest.raises(DataError) as caught:
        read_idx(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def test_reads_mnists_own_bytes(mnist: Path) -> None:
    labels = read_idx(mnist / "train-labels-idx1-ubyte.gz")
    assert labels.dtype == np.uint8
    assert labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]  # known to everybody who has seen MNIST
    assert read_idx(mnist / "train-images-idx3-ubyte.gz").shape == (2000, 28, 28)


def test_reads_a_file_written_by_hand(folder: Path) -> None:
    assert read_idx(file(folder, SMALL)).tolist() == [[1, 2, 3], [4, 5, 6]]
    big_endian = bytes([0, 0, 0x0B, 1]) + struct.pack(">I2h", 2, 258, -1)
    assert read_idx(file(folder, big_endian)).tolist() == [258, -1]


def test_the_content_says_whether_it_is_gzip_and_not_the_name(tmp_path: Path) -> None:
    packed, plain = tmp_path / "packed", tmp_path / "plain.gz"
    packed.write_bytes(gzip.compress(SMALL))
    plain.write_bytes(SMALL)
    assert np.array_equal(read_idx(packed), read_idx(plain))


@law
@given(array=ARRAYS, suffix=st.sampled_from(["", ".gz"]))
def test_what_is_written_is_read_back(folder: Path, array: np.ndarray, suffix: str) -> None:
    path = folder / f"array{suffix}"
    write_idx(path, array)
    found = read_idx(path)
    assert found.dtype == array.dtype.newbyteorder("=")
    assert found.shape == array.shape
    assert found.tobytes() == array.astype(found.dtype).tobytes()  # the bytes, because NaN is not equal to NaN


def test_the_same_array_gives_the_same_gzip_bytes(tmp_path: Path) -> None:
    for name in ("a.gz", "b.gz"):
        write_idx(tmp_path / name, np.arange(9, dtype=np.uint8))
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


@law
@given(data=st.data(), packed=st.booleans())
def test_a_file_cut_anywhere_is_an_error(folder: Path, data: st.DataObject, packed: bool) -> None:
    whole = gzip.compress(SMALL) if packed else SMALL
    fails(file(folder, whole[: data.draw(st.integers(0, len(whole) - 1))]))


@law
@given(position=st.integers(0, 11), value=st.integers(0, 255))
def test_a_changed_header_is_an_error_or_read_as_it_says(folder: Path, position: int, value: int) -> None:
    changed = bytearray(SMALL)
    changed[position] = value
    path = file(folder, bytes(changed))
    code, dimensions = changed[2:4]
    body = 4 + 4 * dimensions
    if changed[:2] == b"\0\0" and code in CODES and dimensions and body <= len(changed):
        shape = struct.unpack_from(f">{dimensions}I", changed, 4)
        if np.dtype(CODES[code]).itemsize * math.prod(shape) == len(changed) - body:
            expected = np.frombuffer(bytes(changed), f">{CODES[code]}", offset=body).reshape(shape)
            assert np.array_equal(read_idx(path), expected)
            return
    fails(path)


@law
@given(bit=st.integers(0, 8 * len(gzip.compress(SMALL, mtime=0)) - 1))
def test_a_flipped_bit_in_a_gzip_file_is_an_error_or_harmless(folder: Path, bit: int) -> None:
    packed = bytearray(gzip.compress(SMALL, mtime=0))
    packed[bit // 8] ^= 1 << bit % 8
    path = file(folder, bytes(packed))
    try:
        assert read_idx(path).tolist() == [[1, 2, 3], [4, 5, 6]]  # a bit of the time or system in its header
    except DataError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("packed", [False, True])
def test_trailing_bytes_are_an_error(folder: Path, packed: bool) -> None:
    content = SMALL + b"\0"
    message = fails(file(folder, gzip.compress(content) if packed else content))
    assert message.endswith("expected 6 bytes for uint8 (2, 3), found more")
    if packed:
        assert "gzip" in fails(file(folder, gzip.compress(SMALL) + b"tail"))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("sizes", [(2**31, 28, 28), (2**32 - 1,) * 3, (0, 2**32 - 1, 2**32 - 1), (2**30,)])
def test_a_header_that_promises_too_much_allocates_nothing(folder: Path, sizes: tuple[int, ...], packed: bool) -> None:
    content = bytes([0, 0, 0x0E, len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes) + bytes(100)
    path = file(folder, gzip.compress(content) if packed else content)
    tracemalloc.start()
    try:
        fails(path)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "two zero bytes, found b''"),
        (b"\x89PNG\r\n\x1a\n", r"two zero bytes, found b'\x89PNG'"),
        (bytes([0, 0, 0x0A, 1]), "found 0x0a"),
        (bytes([0, 0, 8, 0]), "1 to 64 dimensions, found 0"),
        (bytes([0, 0, 8, 255]), "1 to 64 dimensions, found 255"),
        (bytes([0, 0, 8, 2, 0]), "expected 8 bytes of dimensions, found 1"),
        (SMALL[:-2], "expected 6 bytes for uint8 (2, 3), found 4"),
    ],
)
def test_the_message_says_what_was_found(folder: Path, content: bytes, found: str) -> None:
    assert found in fails(file(folder, content))


def test_a_path_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    assert "No such file" in fails(tmp_path / "nothing")
    assert "Is a directory" in fails(tmp_path)


@pytest.mark.parametrize("array", [np.zeros(3, complex), np.zeros(3, np.int64), np.uint8(1), np.array(["a"])])
def test_what_idx_cannot_say_is_not_written(tmp_path: Path, array: np.ndarray) -> None:
    with pytest.raises(DataError, match="expected"):
        write_idx(tmp_path / "file", array)
    assert not (tmp_path / "file").exists()


def test_a_path_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written"):
        write_idx(tmp_path / "nothing" / "file", np.zeros(3, np.uint8))
