"""A file's content, whether it is stored plain or compressed with gzip."""

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from models.errors import DataError

GZIP_MAGIC = b"\x1f\x8b"
CHUNK_BYTES = 1 << 20


@contextmanager
def open_unpacked(path: Path) -> Iterator[BinaryIO]:
    """Open `path` for reading; what comes out is decompressed if the file starts as a gzip file does.

    The name is not asked: some browsers unpack what they download and keep the suffix.

    Raises: DataError: if the file cannot be opened or read, here or later inside the `with` block.
    """
    try:
        with path.open("rb") as file:
            if file.peek(2)[:2] == GZIP_MAGIC:
                with gzip.GzipFile(fileobj=file) as stream:
                    yield cast(BinaryIO, stream)
            else:
                yield file
    # BadGzipFile is an OSError, so it has to be met before the file system's own errors.
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: expected a whole gzip file, found a cut or damaged one ({error})") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def sha256_unpacked(path: Path, max_bytes: int | None = None) -> str:
    """The sha256 of the decompressed content, in hexadecimal.

    The compressed bytes differ from one gzip program to the next; the content does not.

    Args:
        max_bytes: how much content to read at most; None reads all of it.
    Raises: DataError: if the file cannot be read, or holds more than `max_bytes`.
    """
    digest = hashlib.sha256()
    size = 0
    with open_unpacked(path) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            size += len(chunk)
            if max_bytes is not None and size > max_bytes:
                raise DataError(f"{path}: expected at most {max_bytes:,} bytes of content, found more")
            digest.update(chunk)
    return digest.hexdigest()
