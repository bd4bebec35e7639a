"""Ink on paper: which pixels of a page are drawn on, how strongly, and how noisy the paper is."""

from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from app.images.reading import Pixels

Polarity = Literal["auto", "light-on-dark", "dark-on-light"]

_NORMAL = 1.4826  # median absolute deviation -> standard deviation, of a normal distribution
_NOISIEST = 0.15  # standard deviation: where a border varies by more, part of it is ink


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

    The border of the page is taken for paper. Under "auto" ink is whatever deviates from it most, in sum. Where the
    border is paper and ink in turn, as in a drawing cropped tightly, its corners are paper. A stated polarity overrules
    both.
    """
    paper, noise = _paper(pixels)
    deviation = pixels - paper
    clear = np.where(np.abs(deviation) > 3 * noise, deviation, 0)
    lighter = float(clear.sum(dtype=np.float64)) >= 0
    overruled = polarity != "auto" and lighter != (polarity == "light-on-dark") and clear.any()
    if overruled or (noise > _NOISIEST and _has_both(pixels)):
        lighter = _corners_are_dark(pixels) if polarity == "auto" else polarity == "light-on-dark"
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
    border = _border(pixels)
    level = np.median(border)
    distance = np.abs(border - level)
    same, near = distance < 1.5 / 255, distance < 0.15
    if np.mean(same) > 0.5:
        if np.mean(near & ~same) < 0.1:  # a page of one colour, drawn and not photographed
            return np.full(pixels.shape, level, np.float32), 0.0
        # Half of the noise is beyond white, or black, and cut off.
        noise = _NORMAL * float(np.median(distance[near & ~same]))
        return np.full(pixels.shape, border[near].mean(), np.float32), noise
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


def _has_both(pixels: Pixels) -> bool:
    """Whether much of the border is as dark or as light as anything, which is paper here and ink there."""
    border = _border(pixels)
    low, high = pixels.min() + 8 / 255, pixels.max() - 8 / 255
    return float(np.mean((border < low) | (border > high))) > 0.3


def _corners_are_dark(pixels: Pixels) -> bool:
    """Of a box around a digit the corners are paper before anything else is."""
    corners = pixels[[0, 0, -1, -1], [0, -1, 0, -1]]
    return float(corners.mean()) < float(pixels.min() + pixels.max()) / 2


def _border(pixels: Pixels) -> Pixels:
    return np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])


def _axis(length: int) -> Pixels:
    """The pixels' places along a side, in (-1/2, 1/2)."""
    return ((np.arange(length, dtype=np.float32) + np.float32(0.5)) / length - np.float32(0.5)).astype(np.float32)
