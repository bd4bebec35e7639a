"""From images to PNG files: the same image always gives the same bytes."""

from io import BytesIO
from math import ceil, sqrt

import numpy as np
import numpy.typing as npt
from PIL import Image

from app.images.reading import Pixels
from models.errors import ShapeError

_COMPRESSION = 3  # of zlib's 9: digits come out as small as at 9, sheets a quarter larger and ten times faster
_GAP = 1  # dark pixels between the images of a sheet, before scaling


def png(image: Pixels) -> bytes:
    """An image (H, W) in [0, 1] as an 8-bit grey PNG file; values are rounded to the nearest of 256, beyond is cut.

    Raises: ShapeError: if it is not (H, W), is empty or is not finite.
    """
    if image.ndim != 2 or not image.size:
        raise ShapeError(f"image: expected (H, W), found {image.shape}")
    return _encode(_levels(image))


def sheet_size(count: int, height: int, width: int, columns: int | None = None, scale: int = 1) -> tuple[int, int]:
    """The height and width in pixels of the contact sheet of `count` images."""
    columns = min(ceil(sqrt(count)) if columns is None else columns, count)
    rows = ceil(count / columns)
    return scale * (rows * (height + _GAP) - _GAP), scale * (columns * (width + _GAP) - _GAP)


def contact_sheet(images: Pixels, columns: int | None = None, scale: int = 1) -> bytes:
    """Images (N, H, W) in [0, 1] as one PNG file, row by row, each pixel drawn as scale x scale; one as itself.

    Without `columns` the sheet is about square. Unused places are black.

    Raises: ShapeError: if it is not (N, H, W), is empty or is not finite, or columns or scale is below 1.
    """
    if images.ndim != 3 or not images.size:
        raise ShapeError(f"images: expected (N, H, W), N at least 1, found {images.shape}")
    if (columns is not None and columns < 1) or scale < 1:
        raise ShapeError(f"contact sheet: expected columns and scale of 1 or more, found {columns} and {scale}")
    count, height, width = images.shape
    sheet = np.zeros(sheet_size(count, height, width, columns), np.uint8)
    across = (sheet.shape[1] + _GAP) // (width + _GAP)
    for i, levels in enumerate(_levels(images)):
        top, left = i // across * (height + _GAP), i % across * (width + _GAP)
        sheet[top : top + height, left : left + width] = levels
    return _encode(sheet.repeat(scale, axis=0).repeat(scale, axis=1))


def _levels(pixels: Pixels) -> npt.NDArray[np.uint8]:
    if not np.isfinite(pixels).all():
        raise ShapeError("image: expected finite numbers, found NaN or infinity")
    return np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)


def _encode(levels: npt.NDArray[np.uint8]) -> bytes:
    file = BytesIO()
    Image.fromarray(levels).save(file, "PNG", compress_level=_COMPRESSION)
    return file.getvalue()
