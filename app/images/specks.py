"""Telling a drawing from the specks beside it."""

from typing import Any

import numpy as np
import numpy.typing as npt

from app.images.reading import Pixels

_CELLS = 48  # the page is looked at in a grid of at most so many cells a side
_SPECK = 0.02  # of the ink of the largest connected part: a part with less is a speck


def tiny_specks(inked: npt.NDArray[np.bool_], scale: float) -> npt.NDArray[np.bool_]:
    """Which pixels, (H, W), are in or next to specks that would vanish in a pixel of the result.

    Such a speck fills no more than two by two cells of a third of that pixel, and no cell around them is inked.

    Args:
        scale: pixels of the page to one of the result.
    """
    step = max(1, round(scale / 3))
    cells = _in_cells(np.logical_or, inked, step)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(cells, 2), (4, 4))
    within = around[..., 1:3, 1:3].sum(axis=(2, 3))
    alone = (within > 0) & (within == around.sum(axis=(2, 3)))  # (rows + 1, columns + 1) blocks of two by two
    specks = np.zeros(np.add(cells.shape, 2), bool)
    for dy in (0, 1):
        for dx in (0, 1):
            specks[dy : dy + alone.shape[0], dx : dx + alone.shape[1]] |= alone
    return spread(specks[1:-1, 1:-1], step, inked.shape)


def without_specks(ink: Pixels, drawn: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which of the `drawn` pixels, (H, W), belong to parts that are large enough to be of the drawing.

    Parts hang together by cells of the grid that touch, corners included, so that a stroke with small gaps is one.
    """
    step = -(-max(drawn.shape) // _CELLS)
    mass = _in_cells(np.add, np.where(drawn, ink, 0), step)
    left = {(int(y), int(x)) for y, x in np.argwhere(mass > 0)}
    parts = []
    while left:
        front = [left.pop()]
        part = list(front)
        while front:
            y, x = front.pop()
            touching = left & {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)}
            left -= touching
            front += touching
            part += touching
        parts.append(part)
    masses = [sum(float(mass[cell]) for cell in part) for part in parts]
    kept = np.zeros(mass.shape, bool)
    for part, whole in zip(parts, masses, strict=True):
        if whole >= _SPECK * max(masses):
            kept[tuple(np.transpose(part))] = True
    return drawn & spread(kept, step, drawn.shape)


def spread(cells: npt.NDArray[np.bool_], step: int, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Cells of `step` x `step` pixels as the pixels of a page of that shape, (H, W), at whose ends they may be cut."""
    return cells.repeat(step, axis=0).repeat(step, axis=1)[: shape[0], : shape[1]]


def _in_cells(combine: np.ufunc, page: npt.NDArray[Any], step: int) -> npt.NDArray[Any]:
    """A page's pixels combined in each of its cells."""
    for axis in (0, 1):
        page = combine.reduceat(page, range(0, page.shape[axis], step), axis=axis)
    return page
