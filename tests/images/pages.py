"""Pages as people send them, each made from one real digit: (28, 28) uint8 and a generator in, a file's bytes out."""

from collections.abc import Callable
from io import BytesIO

import numpy as np
from PIL import Image

NEAREST, BICUBIC, LANCZOS = Image.Resampling.NEAREST, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS
Page = Callable[[np.ndarray, np.random.Generator], bytes]


def file(image: Image.Image, format: str = "PNG", **options: object) -> bytes:  # noqa: A002 Pillow's own word
    target = BytesIO()
    image.save(target, format, **options)
    return target.getvalue()


def grey(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(values * 255), 0, 255).astype(np.uint8))


def drawn(digit, random, scale=10, resampling=NEAREST, room=2.5):
    """The digit enlarged, somewhere on a larger page: (H, W) float64, 0 paper, 1 ink."""
    side = 28 * scale
    large = np.asarray(Image.fromarray(digit).resize((side, side), resampling)) / 255
    height, width = (int(side * random.uniform(1, room)) for _ in range(2))
    top, left = random.integers(0, height - side + 1), random.integers(0, width - side + 1)
    return np.pad(large, ((top, height - side - top), (left, width - side - left)))


def lamp(shape, random):
    """Light from one side, weaker towards the other and the corners: (H, W) in 0.5 to 1."""
    y, x = (np.linspace(-0.5, 0.5, side) for side in shape)
    angle = random.uniform(0, 2 * np.pi)
    slope = np.cos(angle) * x[None] + np.sin(angle) * y[:, None]
    return 1 - 0.35 * (slope + 0.5) - 0.17 * (x[None] ** 2 + y[:, None] ** 2)


def dark_on_light(digit, random):
    return file(grey(1 - drawn(digit, random)))


def light_on_dark(digit, random):
    return file(grey(drawn(digit, random, scale=13)))


def large(digit, random):
    return file(grey(1 - drawn(digit, random, scale=30, room=1.1)))


def smoothly_enlarged(digit, random):
    return file(grey(1 - drawn(digit, random, 12, BICUBIC)))


def sharply_enlarged(digit, random):
    return file(grey(1 - drawn(digit, random, 13, LANCZOS)))


def dark_strokes_on_nothing(digit, random):
    page = grey(drawn(digit, random))
    return file(Image.merge("LA", (Image.new("L", page.size, 0), page)))


def light_strokes_on_nothing(digit, random):
    page = grey(drawn(digit, random))
    white = Image.new("L", page.size, 255)
    return file(Image.merge("RGBA", (white, white, white, page)))


def sixteen_bits(digit, random):
    return file(Image.fromarray(np.rint((1 - drawn(digit, random)) * 65535).astype(np.uint16)))


def palette(digit, random):
    return file(grey(1 - drawn(digit, random)).convert("P"))


def cmyk_jpeg(digit, random):
    black = grey(drawn(digit, random, 10, BICUBIC))
    none = Image.new("L", black.size)
    return file(Image.merge("CMYK", (none, none, none, black)), "JPEG", quality=90)


def coarse_jpeg(digit, random):
    return file(grey(1 - drawn(digit, random, 10, BICUBIC)), "JPEG", quality=30)


def sideways_jpeg(digit, random):
    exif = Image.Exif()
    exif[274] = 6  # to be turned a quarter to the right
    page = grey(1 - drawn(digit, random, 10, BICUBIC)).transpose(Image.Transpose.ROTATE_90)
    return file(page, "JPEG", quality=90, exif=exif)


def pale(digit, random):
    return file(grey((230 - 190 * drawn(digit, random)) / 255))


def noisy_grey_paper(digit, random):
    page = (225 - 175 * drawn(digit, random, 12, BICUBIC)) / 255
    return file(grey(page + random.normal(0, 0.03, page.shape)))


def uneven_light(digit, random):
    page = 0.95 * (1 - 0.8 * drawn(digit, random, 12, BICUBIC))
    return file(grey(page * lamp(page.shape, random)))


def photograph(digit, random):
    page = 0.95 * (1 - 0.8 * drawn(digit, random, 16, BICUBIC))
    page = page * lamp(page.shape, random) + random.normal(0, 0.02, page.shape)
    return file(grey(page).convert("RGB"), "JPEG", quality=80)


def blackboard(digit, random):
    page = 0.1 + 0.8 * drawn(digit, random, 16, BICUBIC)
    page = page * lamp(page.shape, random) + random.normal(0, 0.02, page.shape)
    return file(grey(page).convert("RGB"), "JPEG", quality=80)


# Whole pixels, nothing lost: the digit comes back to the bit, or within the rounding of its levels.
EXACT: tuple[Page, ...] = (
    dark_on_light,
    light_on_dark,
    large,
    dark_strokes_on_nothing,
    light_strokes_on_nothing,
    sixteen_bits,
    palette,
)
# Blurred by enlarging, compression, noise or light.
CLOSE: tuple[Page, ...] = (
    pale,
    smoothly_enlarged,
    sharply_enlarged,
    cmyk_jpeg,
    coarse_jpeg,
    sideways_jpeg,
    noisy_grey_paper,
    uneven_light,
    photograph,
    blackboard,
)
