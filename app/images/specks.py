"""Telling a drawing from the specks beside it."""

import numpy as np
import numpy.typing as npt

from app.images.reading import Pixels

_CELLS = 48  # the page is looked at in a grid of at most so many cells a side
_SPECK = 0.02  # of the ink of the largest connected part: a part with less is a speck


def without_specks(ink: Pixels, drawn: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which of the `drawn` pixels, (H, W), belong to parts that are large enough to be of the drawing.

    Parts hang together by cells of the grid that touch, corners included, so that a stroke with small gaps is one.
    """
    step = -(-max(drawn.shape) // _CELLS)
    mass = np.where(drawn, ink, 0)
    for axis in (0, 1):
        mass = np.add.reduceat(mass, range(0, drawn.shape[axis], step), axis=axis)
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
    cells = kept.repeat(step, axis=0).repeat(step, axis=1)
    return drawn & cells[: drawn.shape[0], : drawn.shape[1]]
