"""From the bytes of a picture file to an upright grey picture.

The format is told by the bytes, never by a name; only six formats are tried. Colour profiles are ignored.
"""

import warnings
from contextlib import suppress
from io import BytesIO
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from models.errors import ReparamError

Pixels = npt.NDArray[np.float32]

_LEVELS = np.arange(256, dtype=np.float32) / np.float32(255)

_PHOTOMETRIC = 262  # of TIFF's tags the one that tells what its zero is

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")

# What is odd about a caller's file is no line of the log, nor kept for ever, as Python does with every new warning.
warnings.filterwarnings("ignore", module=r"PIL\.")


class ImageError(ReparamError):
    """Bytes that are not a picture this program can read."""


class ImageTooLargeError(ImageError):
    """A picture with more pixels than the limit."""


class Picture(NamedTuple):
    """An upright picture: `pixels` (H, W) float32 in [0, 1], 0 black; `grey`: without colour or transparency."""

    pixels: Pixels
    grey: bool = True

    @property
    def size(self) -> int:
        """How many pixels it has."""
        return self.pixels.size


def read_image(data: bytes, max_pixels: int = 16_000_000, before: int = 0) -> Picture:
    """Read a PNG, JPEG, WebP, BMP, GIF or TIFF file: its first frame, turned upright, flattened and made grey.

    An 8-bit grey value v becomes exactly float32(v) / float32(255); 16-bit grey keeps its 16 bits.

    Args:
        max_pixels: of this picture and those before it together.
        before: the pixels of those.
    Raises:
        ImageError: if the bytes are no such file, or a truncated or damaged one.
        ImageTooLargeError: if the header promises more than `max_pixels`; nothing has been decoded then.
    """
    limit = f"expected at most {max_pixels} pixels in all images together"
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if before + width * height > max_pixels:
                others = f" after {before} pixels of those before it" if before else ""
                raise ImageTooLargeError(f"{limit}, found {width} x {height}{others}")
            image.load()
            if image.format == "PNG" and not image.info:  # nothing but pixels: nothing says how it is turned
                return _grey(image)
            upright: Image.Image = image
            with suppress(Exception):  # damaged EXIF is no reason to refuse sound pixels
                upright = ImageOps.exif_transpose(image)
            picture = _grey(upright)
            return picture._replace(pixels=1 - picture.pixels) if _is_negative(image) else picture
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        found = f"{len(data)} bytes starting {data[:8].hex(' ')}" if data else "no bytes"
        if data.startswith((b"II*\0", b"MM\0*")):
            found = "a TIFF that is damaged, or of numbers that are not read, as of 64 bits"
        raise ImageError(f"expected a sound PNG, JPEG, WebP, BMP, GIF or TIFF file, found {found}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:  # Pillow's own limit, far above
        raise ImageTooLargeError(f"{limit}, found more") from error
    except Exception as error:  # a decoder meets damage with a dozen kinds of exception, SyntaxError among them
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"expected a sound picture, found it damaged: {reason}") from error


def _is_negative(image: Image.Image) -> bool:
    """Whether it is a TIFF whose zero is white, which Pillow heeds in 8 bits and fewer alone."""
    return image.mode in ("I;16", "F") and getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0


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
        return Picture(_eight_bits(image if image.mode == "L" else image.convert("L")))
    image = image.convert("RGB")  # palettes, CMYK, YCbCr, LAB
    red, green, blue = (channel.tobytes() for channel in image.split())
    return Picture(_eight_bits(image.convert("L")), grey=red == green == blue)


def _eight_bits(image: Image.Image) -> Pixels:
    """8-bit values v to float32(v) / float32(255), to the bit."""
    width, height = image.size
    return _LEVELS.take(np.frombuffer(image.tobytes(), np.uint8)).reshape(height, width)


def _unit(deep: npt.NDArray[np.generic], mode: str) -> Pixels:
    """16-bit grey over 65535. 32-bit and real numbers have no agreed white: the least usual one that holds them all."""
    values = deep.astype(np.float64)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise ImageError("expected finite pixels, found NaN or infinity")
    whites = (1.0, 255.0, 65535.0) if mode in ("I", "F") else (65535.0,)
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
