"""From the bytes of a picture file to an upright grey picture.

The format is told by the bytes, never by a name; only six formats are tried. Colour profiles are ignored.
"""

from dataclasses import dataclass
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from app.images.containers import ImageError, check_size, unpack

Pixels = npt.NDArray[np.float32]

# Called directly and not through Image.open: that warns, process-wide, about sizes this module judges itself.
_DECODERS: dict[str, type[ImageFile.ImageFile]] = {
    "PNG": PngImageFile,
    "JPEG": JpegImageFile,
    "WEBP": WebPImageFile,
    "BMP": BmpImageFile,
    "GIF": GifImageFile,
    "TIFF": TiffImageFile,
}
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Picture:
    """An upright picture: `pixels` (H, W) float32 in [0, 1], 0 black; `grey` if without colour and transparency."""

    pixels: Pixels
    grey: bool = True


def read_image(data: bytes, max_pixels: int = 25_000_000) -> Picture:
    """Read a PNG, JPEG, WebP, BMP, GIF or TIFF file: its first frame, turned upright, flattened and made grey.

    An 8-bit grey value v becomes exactly float32(v) / float32(255); 16-bit grey keeps its 16 bits.

    Raises:
        ImageError: if the bytes are no such file, or a truncated or damaged one.
        ImageTooLargeError: if the header promises more than `max_pixels`; nothing has been decoded then.
    """
    container = unpack(data, max_pixels)
    try:
        with _DECODERS[container.format](BytesIO(container.data)) as image:
            check_size(*image.size, max_pixels)
            image.load()
            upright: Image.Image = image
            if container.orientation != 1:
                upright = image.transpose(_UPRIGHT[container.orientation])
                upright.info = image.info
            picture = _grey(upright)
    except ImageError:
        raise
    except Exception as error:  # a decoder meets damage with a dozen kinds of exception, SyntaxError among them
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"image: expected a sound {container.format} file, found it damaged: {reason}") from error
    return picture


def _grey(image: Image.Image) -> Picture:
    transparent = image.info.get("transparency")  # the value, or a table of palette entries, that is see-through
    if image.mode.startswith("I") or image.mode == "F":
        deep = np.asarray(image)
        if transparent is None:
            return Picture(_unit(deep, image.mode))
        return Picture(_flatten(_unit(deep, image.mode), (deep != transparent).astype(np.float32)), grey=False)
    if transparent is not None or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        alpha = image.getchannel("A")
        if alpha.getextrema() != (255, 255):
            return Picture(_flatten(_eight_bits(image.convert("L")), _eight_bits(alpha)), grey=False)
    if image.mode in ("1", "L"):
        return Picture(_eight_bits(image.convert("L")))
    image = image.convert("RGB")  # palettes, CMYK, YCbCr, LAB
    red, green, blue = (channel.tobytes() for channel in image.split())
    return Picture(_eight_bits(image.convert("L")), grey=red == green == blue)


def _eight_bits(image: Image.Image) -> Pixels:
    """8-bit values v to float32(v) / float32(255), to the bit."""
    return np.asarray(image, np.float32) / np.float32(255)


def _unit(deep: npt.NDArray[np.generic], mode: str) -> Pixels:
    """16-bit grey over 65535. 32-bit and real numbers have no agreed white: the least usual one that holds them all."""
    values = deep.astype(np.float64)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise ImageError("image: expected finite pixels, found NaN or infinity")
    whites = {"I": (65535.0,), "F": (1.0, 255.0, 65535.0)}.get(mode, (65535.0,))
    white = next((white for white in whites if low >= 0 and high <= white), None)
    if white is None:  # nothing usual: the picture's own range
        return ((values - low) / ((high - low) or 1)).astype(np.float32)
    return (values / white).astype(np.float32)


def _flatten(pixels: Pixels, alpha: Pixels) -> Pixels:
    """Lay a transparent drawing on black or white, whichever is further from the drawing's own grey.

    A picture that is mostly opaque and both light and dark brings its own paper: holes and round corners become that.
    """
    opaque = pixels[alpha > 0.5]
    if opaque.size > pixels.size / 2 and np.ptp(opaque) > 0.5:
        paper = np.median(opaque)
    else:
        paper = np.float32(float((pixels * alpha).sum()) < 0.5 * float(alpha.sum()))
    return alpha * pixels + (1 - alpha) * paper
