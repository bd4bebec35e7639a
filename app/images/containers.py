"""From an uploaded file to the bytes that make its first picture, and nothing else.

Pillow reads a picture well, but it also parses the metadata around it, and answers damage there with Python
warnings, which are process-wide. So the metadata never reaches it: colour profiles, text, thumbnails, further
frames and private tags are cut out here; the size is checked on the header; only the orientation is kept.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from models.errors import ReparamError

# TIFF's tags, which EXIF shares: those that a decoder needs, and which of them may hold more than one value.
_WIDTH, _HEIGHT, _ORIENTATION, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 274, 322, 323
_ONE_VALUE = frozenset(
    [
        _WIDTH,
        _HEIGHT,
        259,
        262,
        266,
        _ORIENTATION,
        277,
        278,
        284,
        292,
        293,
        317,
        _TILE_WIDTH,
        _TILE_HEIGHT,
        332,
    ]
)
_MANY_VALUES = frozenset([258, 273, 279, 320, 324, 325, 338, 339, 347, 529, 530, 532])
_TYPE_SIZES = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8)


class ImageError(ReparamError):
    """Bytes that are not a picture this program can read."""


class ImageTooLargeError(ImageError):
    """A picture with more pixels than the limit."""


class Container(NamedTuple):
    """One still picture: its format, its bytes without metadata, and its EXIF orientation (1 to 8)."""

    format: str
    data: bytes
    orientation: int = 1


def unpack(data: bytes, max_pixels: int) -> Container:
    """Tell the format by its signature, check the size on the header and cut the metadata out.

    Raises:
        ImageError: none of the six formats, or a structure that ends early or contradicts itself.
        ImageTooLargeError: the header promises more than `max_pixels`.
    """
    for signature, name, strip in (
        (b"\x89PNG\r\n\x1a\n", "PNG", _png),
        (b"\xff\xd8\xff", "JPEG", _jpeg),
        (b"RIFF", "WEBP", _webp),
        (b"BM", "BMP", _bmp),
        (b"GIF87a", "GIF", _gif),
        (b"GIF89a", "GIF", _gif),
        (b"II*\0", "TIFF", _tiff),
        (b"MM\0*", "TIFF", _tiff),
    ):
        if data.startswith(signature):
            try:
                stripped, orientation = strip(data, max_pixels)
            except (struct.error, IndexError) as error:
                raise ImageError(f"image: expected a whole {name} file, found it cut short or damaged") from error
            return Container(name, stripped, orientation if 1 <= orientation <= 8 else 1)
    found = f"{len(data)} bytes starting {data[:8].hex(' ')}" if data else "no bytes"
    raise ImageError(f"image: expected a PNG, JPEG, WebP, BMP, GIF or TIFF file, found {found}")


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raises: ImageTooLargeError: if width x height exceeds the limit."""
    if width * height > max_pixels:
        raise ImageTooLargeError(
            f"image: expected at most max_pixels = {max_pixels}, found {width} x {height} = {width * height}"
        )


def _png(data: bytes, max_pixels: int) -> tuple[bytes, int]:
    width, height = struct.unpack_from(">II", data, 16)
    check_size(width, height, max_pixels)
    kept, orientation, kind, end = [data[:8]], 1, b"", 8
    while kind != b"IEND":
        start = end
        length, kind = struct.unpack_from(">I4s", data, start)
        end = start + 12 + length
        if kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"):
            (checksum,) = struct.unpack_from(">I", data, end - 4)
            if zlib.crc32(data[start + 4 : end - 4]) != checksum:
                raise ImageError(f"image: expected a sound PNG file, found {kind.decode()} with a wrong checksum")
            kept.append(data[start:end])
        elif kind == b"eXIf":
            orientation = _exif_orientation(data[start + 8 : end - 4])
    return b"".join(kept), orientation


def _jpeg(data: bytes, max_pixels: int) -> tuple[bytes, int]:
    kept, orientation, marker, end = [data[:2]], 1, 0, 2
    while marker != 0xDA:  # from the first scan on there are no more headers that matter
        start = end
        while data[start + 1] == 0xFF:  # padding
            start += 1
        marker, length = struct.unpack_from(">xBH", data, start)
        end = start + 2 + length
        if marker == 0xE1 and orientation == 1 and data[start + 4 : start + 10] == b"Exif\0\0":
            orientation = _exif_orientation(data[start + 10 : end])
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a frame header
            height, width = struct.unpack_from(">HH", data, start + 5)
            check_size(width, height, max_pixels)
        # Of the application's segments JFIF (E0) and Adobe (EE) say how colours are coded. FE is a comment.
        if marker in (0xE0, 0xEE) or not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            kept.append(data[start:end])
    return b"".join([*kept, data[end:]]), orientation


def _webp(data: bytes, max_pixels: int) -> tuple[bytes, int]:
    orientation, kind = 1, data[12:16]
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(data[i : i + 3], "little") for i in (24, 27))
        position = 12
        while position + 8 <= len(data):
            name, length = struct.unpack_from("<4sI", data, position)
            if name == b"EXIF":
                exif = data[position + 8 : position + 8 + length]
                orientation = _exif_orientation(exif.removeprefix(b"Exif\0\0"))
            position += 8 + length + length % 2
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    else:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    check_size(width, height, max_pixels)
    return data, orientation


def _bmp(data: bytes, max_pixels: int) -> tuple[bytes, int]:
    (header_size,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header_size == 12 else "<ii", data, 18)
    check_size(abs(width), abs(height), max_pixels)  # a negative height: rows from the top down
    return data, 1


def _gif(data: bytes, max_pixels: int) -> tuple[bytes, int]:
    def after_palette(position: int, flags: int) -> int:
        return position + (3 * 2 ** (flags % 8 + 1) if flags & 0x80 else 0)

    def after_blocks(position: int) -> int:
        while data[position]:
            position += 1 + data[position]
        return position + 1

    width, height, flags = struct.unpack_from("<HHB", data, 6)
    position = after_palette(13, flags)
    while data[position] == 0x21:  # an extension
        position = after_blocks(position + 2)
    left, top, frame_width, frame_height, flags = struct.unpack_from("<4HB", data, position + 1)
    check_size(max(width, left + frame_width), max(height, top + frame_height), max_pixels)
    end = after_blocks(after_palette(position + 10, flags) + 1)
    return data[:end] + b";", 1  # the first frame, and the end


def _tiff(data: bytes, max_pixels: int) -> tuple[bytes, int]:
    order = "<" if data.startswith(b"II") else ">"
    kept: dict[int, bytes] = {}
    value = {_ORIENTATION: 1}
    for tag, kind, count, entry in _directory(data, order):
        size = count * (_TYPE_SIZES[kind] if kind < len(_TYPE_SIZES) else 0)
        if tag not in _ONE_VALUE | _MANY_VALUES or tag in kept or size == 0:
            continue
        if size > len(data) or (tag in _ONE_VALUE and count != 1):
            raise ImageError(f"image: expected a sound TIFF file, found tag {tag} with {count} values")
        if size > 4:  # then the entry holds where the values are
            struct.unpack_from(f"{size}x", data, struct.unpack_from(order + "8xI", entry)[0])
        kept[tag] = entry
        if tag in _ONE_VALUE:
            value[tag] = struct.unpack_from(order + ("8xH" if kind == 3 else "8xI"), entry)[0]
    check_size(value.get(_WIDTH, 0), value.get(_HEIGHT, 0), max_pixels)
    check_size(value.get(_TILE_WIDTH, 0), value.get(_TILE_HEIGHT, 0), max_pixels)  # a tile is decoded whole
    kept.pop(_ORIENTATION, None)
    # Offsets count from the start of the file, so a shorter directory at its end leaves them all as they were.
    body = data + bytes(len(data) % 2)
    directory = struct.pack(order + "H", len(kept)) + b"".join(kept.values()) + bytes(4)
    return body[:4] + struct.pack(order + "I", len(body)) + body[8:] + directory, value[_ORIENTATION]


def _directory(data: bytes, order: str) -> Iterator[tuple[int, int, int, bytes]]:
    """The entries of a TIFF's first directory: tag, type, number of values, the entry itself."""
    (start,) = struct.unpack_from(order + "4xI", data)
    (entries,) = struct.unpack_from(order + "H", data, start)
    for position in range(start + 2, start + 2 + 12 * entries, 12):
        tag, kind, count = struct.unpack_from(order + "HHI", data, position)
        yield tag, kind, count, data[position : position + 12]


def _exif_orientation(exif: bytes) -> int:
    """1 (upright) to 8; damaged EXIF counts as none, for the picture itself is sound."""
    order = "<" if exif.startswith(b"II") else ">"
    try:
        for tag, kind, _, entry in _directory(exif, order):
            if tag == _ORIENTATION and kind == 3:
                return int(struct.unpack_from(order + "8xH", entry)[0])
    except struct.error:
        pass
    return 1
