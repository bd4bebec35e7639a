"""Ink on paper: which pixels of a page are drawn on, how strongly, and how noisy the paper is."""

from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from app.images.reading import Pixels

Polarity = Literal["auto", "light-on-dark", "dark-on-light"]

_NORMAL = 1.4826  # median absolute deviation -> standard deviation, of a normal distribution


class Ink(NamedTuple):
    """How much ink there is where.

    `amount` (H, W) float32: 0 is paper, more is ink, with noise on both sides. `noise`: the standard deviation of
    `amount` on paper. `light`: whether ink is lighter than paper.
    """

    amount: Pixels
    noise: float
    light: bool


def find_ink(pixels: Pixels, polarity: Polarity = "auto") -> Ink:
    """Subtract the paper from a page, (H, W) in [0, 1], so that ink is what is positive.

    The border of the page is taken for paper. Under "auto" ink is whatever deviates from it most, in sum. A stated
    polarity overrules the border where the two disagree, as in a drawing cropped so tightly that its border is ink.
    """
    paper, noise = _paper(pixels)
    deviation = pixels - paper
    clear = np.where(np.abs(deviation) > 3 * noise, deviation, 0)
    lighter = float(clear.sum(dtype=np.float64)) >= 0
    if polarity != "auto" and lighter != (polarity == "light-on-dark") and clear.any():
        lighter = not lighter
        paper, noise = np.full(pixels.shape, pixels.min() if lighter else pixels.max(), np.float32), 0.0
        deviation = pixels - paper
    # What is seen is light times reflectance, so a ratio to the paper cancels shadows, above black where it would
    # blow up. For dark ink, whose range ends at black, to the paper itself; for light ink relative to its brightest.
    light = np.maximum(paper, np.float32(0.05))
    shade: Pixels = light / light.max() if lighter else light
    amount: Pixels = (deviation if lighter else -deviation) / shade
    return Ink(amount, noise / float(np.mean(shade)), light=lighter)


def _paper(pixels: Pixels) -> tuple[Pixels, float]:
    """The paper's brightness, (H, W), and the standard deviation of what noise lies on it."""
    level = np.float32(np.median(_border(pixels)))
    if np.mean(np.abs(_border(pixels) - level) < 1.5 / 255) > 0.5:
        return np.full(pixels.shape, level, np.float32), 0.0  # a page of one colour, drawn and not photographed
    height, width = pixels.shape
    rows, columns = min(height, 48), min(width, 48)
    small = np.asarray(Image.fromarray(pixels).resize((columns, rows), Image.Resampling.BOX))
    y, x = _axis(rows)[:, None], _axis(columns)[None]
    terms = np.stack(np.broadcast_arrays(np.ones(()), y, x, y * y, x * y, x * x), axis=-1)  # (rows, columns, 6)
    frame = np.ones((rows, columns), bool)
    frame[rows // 12 + 1 : -(rows // 12) - 1, columns // 12 + 1 : -(columns // 12) - 1] = False
    paper = frame
    for _ in range(8):  # light falls off smoothly: a quadratic through the frame, then through all that agrees with it
        surface = np.linalg.lstsq(terms[paper], small[paper], rcond=None)[0]
        distance = np.abs(small - terms @ surface)
        paper = distance <= max(3 * _NORMAL * float(np.median(distance[paper])), 0.01)
    one, by_y, by_x, by_yy, by_xy, by_xx = surface.astype(np.float32)
    y, x = _axis(height)[:, None], _axis(width)[None]
    brightness: Pixels = (one + by_y * y + by_yy * y * y) + (by_x * x + by_xx * x * x) + (by_xy * y) * x
    rest = _border(pixels - brightness)
    return brightness, _NORMAL * float(np.median(np.abs(rest - np.median(rest))))


def _border(pixels: Pixels) -> Pixels:
    return np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])


def _axis(length: int) -> Pixels:
    """The pixels' places along a side, in (-1/2, 1/2)."""
    return ((np.arange(length, dtype=np.float32) + np.float32(0.5)) / length - np.float32(0.5)).astype(np.float32)
