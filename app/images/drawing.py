"""From images to PNG files: the same image always gives the same bytes."""

from io import BytesIO
from math import ceil, sqrt

import numpy as np
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
    if not np.isfinite(image).all():
        raise ShapeError("image: expected finite numbers, found NaN or infinity")
    levels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    file = BytesIO()
    Image.fromarray(levels).save(file, "PNG", compress_level=_COMPRESSION)
    return file.getvalue()


def contact_sheet(images: Pixels, columns: int | None = None, scale: int = 1) -> bytes:
    """Images (N, H, W) in [0, 1] as one PNG file, row by row, each pixel drawn as scale x scale; one as itself.

    Without `columns` the sheet is about square. Unused places are black.

    Raises: ShapeError: if it is not (N, H, W), is empty or is not finite, or columns or scale is below 1.
    """
    if images.ndim != 3 or not images.size:
        raise ShapeError(f"images: expected (N, H, W), N at least 1, found {images.shape}")
    columns = ceil(sqrt(len(images))) if columns is None else columns
    if columns < 1 or scale < 1:
        raise ShapeError(f"contact sheet: expected columns and scale of 1 or more, found {columns} and {scale}")
    count, height, width = images.shape
    columns = min(columns, count)
    rows = ceil(count / columns)
    cells = np.zeros((rows * columns, height + _GAP, width + _GAP), images.dtype)
    cells[:count, :height, :width] = images
    sheet = cells.reshape(rows, columns, height + _GAP, width + _GAP).swapaxes(1, 2)
    sheet = sheet.reshape(rows * (height + _GAP), columns * (width + _GAP))[:-_GAP, :-_GAP]
    return png(sheet.repeat(scale, axis=0).repeat(scale, axis=1))
