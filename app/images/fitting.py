"""From an upright grey picture to a model's input: light strokes on dark, sized and centred as MNIST was made."""

from math import ceil, floor
from typing import Literal, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from app.images.ink import Ink, Polarity, find_ink
from app.images.reading import Picture, Pixels
from app.images.specks import spread, tiny_specks, without_specks

Fit = Literal["digit", "stretch"]
_Floats = npt.NDArray[np.floating]
_Mask = npt.NDArray[np.bool_]
_Kind = TypeVar("_Kind", bound=np.generic)

_WORKING_SIDE = 1000  # a page of twice this or more is first averaged down by a whole factor
_LEGIBLE_SIDE = 5  # pixels of the page to one of the result: a smaller digit on such a page is looked at anew, closer
_SURROUNDINGS = 2  # of the ink's longer side, on each side of it: enough of the paper to know it by
_DOTTED = 0.05  # of the ink: where more is in specks they are the drawing
_MARGIN = 2  # pixels of the result sampled beyond the ink's edges: strokes too faint to find belong to the digit
_PHASES = np.linspace(-0.5, 0.5, 21)


def fit_image(
    picture: Picture, fit: Fit | None = None, polarity: Polarity = "auto", size: int = 28, box: int = 20
) -> Pixels:
    """Make a picture a model's input.

    Args:
        picture: (H, W) in [0, 1].
        fit: "digit" crops to the ink, scales its longer side to `box` pixels and puts its centre of mass in the
            middle of size x size; "stretch" scales the whole picture to size x size, levels as they are; None takes
            a grey picture of that size as it is, to the bit, and any other for a digit.
        polarity: the picture's. "auto" finds it out, except for a picture that is taken as it is.

    Returns: (size, size) float32 in [0, 1], light strokes on dark. A page without ink gives zeros, as a black
        picture taken as it is does: emptiness is an input like another, and how unlike a digit it is, a score tells.
    """
    pixels = picture.pixels
    as_it_is = fit is None and picture.grey and pixels.shape == (size, size)
    if as_it_is and polarity != "dark-on-light":
        return pixels
    if as_it_is:
        return 1 - pixels
    if (shrink := max(pixels.shape) // _WORKING_SIDE) > 1:
        pixels = np.asarray(Image.fromarray(pixels).reduce(shrink))
    if fit == "stretch":
        light = find_ink(pixels).light if polarity == "auto" else polarity == "light-on-dark"
        rows = _average(pixels if light else 1 - pixels, np.linspace(0, pixels.shape[0], size + 1))
        return np.clip(_average(rows.T, np.linspace(0, pixels.shape[1], size + 1)).T, 0, 1).astype(np.float32)
    ink = find_ink(pixels, polarity)
    outline, specks = _outline(ink)
    if outline is None:
        return np.zeros((size, size), np.float32)
    if shrink > 1 and outline.side < _LEGIBLE_SIDE * box:
        closer = outline.of_a_larger_page(shrink).part_of(picture.pixels)
        if max(closer.shape) < max(picture.pixels.shape):
            return fit_image(Picture(closer, grey=False), "digit", polarity, size, box)
    return _digit(ink, outline, specks, size, box)


class _Outline(NamedTuple):
    """Roughly where the ink lies, in pixels of the page; ends are exclusive."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def side(self) -> int:
        """The longer one."""
        return max(self.bottom - self.top, self.right - self.left)

    def of_a_larger_page(self, times: int) -> "_Outline":
        return _Outline(*(times * place for place in self))

    def part_of(self, page: Pixels) -> Pixels:
        """The part of a page with the ink and its surroundings."""
        around = _SURROUNDINGS * self.side
        rows = slice(max(0, self.top - around), self.bottom + around)
        return page[rows, max(0, self.left - around) : self.right + around]


def _outline(ink: Ink) -> tuple[_Outline | None, _Mask]:
    """Where the ink lies, None if there is none; and which pixels, (H, W), are in specks beside it."""
    amount, noise = ink.amount, ink.noise
    coarse = max(1, max(amount.shape) // 250) if noise else 1
    rough = np.asarray(Image.fromarray(amount).reduce(coarse)) if coarse > 1 else amount
    peak = float(rough.max())
    if peak < (max(0.1, 6 * noise / coarse) if noise else 1 / 255):
        return None, np.zeros(amount.shape, bool)
    inked = rough > peak / 4
    drawn = without_specks(rough, inked)
    rows, columns = (np.atleast_1d(drawn.any(axis=axis)) for axis in (1, 0))
    specks = spread(inked & ~drawn, coarse, amount.shape)
    return _Outline(*_extent(rows, coarse), *_extent(columns, coarse)), specks


def _digit(ink: Ink, outline: _Outline, specks: _Mask, size: int, box: int) -> Pixels:
    """Crop, scale and centre: first on the rough outline, then on the edges within it."""
    amount, noise = ink.amount, ink.noise
    top, bottom, left, right = outline
    scale = outline.side / box  # pixels of the page to one of the result
    reach = ceil((_MARGIN + 1) * scale)
    around = top - reach, bottom + reach, left - reach, right + reach
    amount, specks = _window(amount, *around), _window(specks, *around)
    if specks.any():  # with their soft edges
        amount = np.where(_smooth(specks.astype(np.float32), ceil(scale / 4)) > 1e-6, np.float32(0), amount)
    if (enlarge := ceil(2 / scale)) > 2:
        sides = (enlarge * amount.shape[1], enlarge * amount.shape[0])
        amount, scale = np.asarray(Image.fromarray(amount).resize(sides, Image.Resampling.BICUBIC)), scale * enlarge

    # Noise and a resampler's ringing stay below the threshold. Averaging over an eighth of a pixel tames noise.
    smooth = _smooth(amount, round(scale / 8)) if noise else amount
    least = (0.15 if noise else 0.05) * float(smooth.max())
    if scale >= _LEGIBLE_SIDE:
        tiny = tiny_specks(smooth > least, scale)
        if smooth[tiny].sum() < _DOTTED * smooth[smooth > least].sum():
            smooth, amount = np.where(tiny, 0, smooth), np.where(tiny, np.float32(0), amount)
    top, bottom = _edges(smooth.max(axis=1), scale, least)
    left, right = _edges(smooth.max(axis=0), scale, least)
    scale = max(bottom - top, right - left) / box
    if bottom - top >= right - left:
        digit = _sample(amount, (top, bottom), (left, right), scale)
    else:
        digit = _sample(amount.T, (left, right), (top, bottom), scale).T

    digit = np.where(digit > 3 * noise / max(scale, 1), digit, 0)
    level = float(digit.max())
    if not level > 0:  # what looked like ink was noise
        return np.zeros((size, size), np.float32)
    if noise or level < 0.97:  # ink that is black already is left alone
        digit = digit / level
    return _centre(np.clip(digit, 0, 1).astype(np.float32), size)


def _extent(inked: npt.NDArray[np.bool_], step: int) -> tuple[int, int]:
    """From the first of the inked rows to past the last, each of `step` pixels."""
    (places,) = np.nonzero(inked)
    return int(places[0]) * step, (int(places[-1]) + 1) * step


def _edges(profile: _Floats, scale: float, least: float) -> tuple[int, int]:
    """Where the ink starts and ends along a side, from the strongest ink in each row, (n,).

    MNIST's box was drawn around black and white ink, so its outermost row is bright. However a picture of it was
    enlarged, halfway from that row's middle to the paper lies the row's edge: half as bright as half a row inside.
    """

    def start(profile: _Floats) -> int:
        inside = profile[np.minimum(np.arange(len(profile)) + round(scale / 2), len(profile) - 1)]
        return int(np.argmax((profile > least) & (profile > 0.4999 * inside)))

    return start(profile), len(profile) - start(profile[::-1])


def _sample(amount: Pixels, longer: tuple[int, int], shorter: tuple[int, int], scale: float) -> _Floats:
    """Average the page over the result's pixels. Rows are the longer side.

    The longer side's edges set the grid along it. The shorter side's are often too faint to trust to a fraction of
    a pixel: there the grid lies where the result is sharpest, which is where an enlarged digit's own pixels were.
    """
    count = max(1, round((longer[1] - longer[0]) / scale))
    rows = _average(amount, longer[0] + scale * np.arange(-_MARGIN, count + _MARGIN + 1))
    count = max(1, round((shorter[1] - shorter[0]) / scale))
    first = (shorter[0] + shorter[1] - count * scale) / 2
    grids = first + scale * (_PHASES[:, None] + np.arange(-_MARGIN, count + _MARGIN + 1))
    return max((_average(rows.T, grid).T for grid in grids), key=lambda digit: float((digit * np.abs(digit)).sum()))


def _average(amount: _Floats, edges: _Floats) -> _Floats:
    """The mean of the rows between each two edges, paper beyond the array: (H, W), (n + 1,) -> (n, W).

    An edge may cut through a row, which then counts in part.
    """
    total = np.concatenate([np.zeros((1, amount.shape[1])), amount.cumsum(axis=0, dtype=np.float64)])
    within = np.clip(edges, 0, len(amount))
    whole = np.minimum(within.astype(int), len(amount) - 1)
    integral = total[whole] + (within - whole)[:, None] * amount[whole]
    mean: _Floats = np.diff(integral, axis=0) / np.diff(edges)[:, None]
    return mean


def _smooth(amount: _Floats, radius: int) -> _Floats:
    """The mean of the (2 radius + 1)^2 pixels around each, with paper beyond the array."""
    width = 2 * radius + 1
    for _ in range(2):  # along the rows, then, turned over, along the columns
        total = np.pad(amount, ((radius + 1, radius), (0, 0))).cumsum(axis=0, dtype=np.float64)
        amount = ((total[width:] - total[:-width]) / width).T
    return amount


def _window(page: npt.NDArray[_Kind], top: int, bottom: int, left: int, right: int) -> npt.NDArray[_Kind]:
    """A part of the page, which may reach beyond it: there is paper."""
    height, width = page.shape
    beyond = ((max(-top, 0), max(bottom - height, 0)), (max(-left, 0), max(right - width, 0)))
    return np.pad(page[max(top, 0) : bottom, max(left, 0) : right], beyond)


def _centre(digit: Pixels, size: int) -> Pixels:
    """Shift by whole pixels until the centre of mass is next to pixel (size / 2, size / 2), as MNIST's is.

    Of MNIST's 10,000 test digits 9,999 stay where they are under this rule; only background is cut off.
    """
    height, width = digit.shape
    mass = float(digit.sum())
    top = floor(size / 2 - float(digit.sum(axis=1) @ np.arange(height)) / mass + 0.5)
    left = floor(size / 2 - float(digit.sum(axis=0) @ np.arange(width)) / mass + 0.5)
    return _window(digit, -top, size - top, -left, size - left)
