"""Paths between two vectors; their ends are exactly the two."""

from typing import Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
InterpolationPath = Literal["linear", "spherical"]

_PARALLEL = 1e-6  # the sine of an angle below which float32 does not tell in which plane two directions lie


def linear(first: Array, last: Array, steps: int) -> Array:
    """Evenly spaced points on the straight line from one vector (Z,) to another: (steps, Z), steps at least 2."""
    return np.linspace(first.astype(np.float64), last.astype(np.float64), steps).astype(np.float32)


def spherical(first: Array, last: Array, steps: int) -> Array:
    """Points on the great circle, evenly spaced in the angle and in the norm: (steps, Z), steps at least 2.

    Draws of Gaussian noise have nearly one norm, and a straight line between two cuts through the inside, where there
    are none. Between opposite vectors every great circle is as short as another: one is picked, always the same. Where
    there is no angle, from zero or in one dimension, the path is the straight line. Of vectors near float32's limit the
    points between may be infinite.

    Source: Shoemake 1985, "Animating Rotation with Quaternion Curves"; White 2016, "Sampling Generative Networks".
    """
    a, b = first.astype(np.float64), last.astype(np.float64)
    lengths = np.linalg.norm(a), np.linalg.norm(b)
    if len(a) == 1 or not all(lengths):
        return linear(first, last, steps)
    a, b = a / lengths[0], b / lengths[1]
    cosine = a @ b
    across = b - cosine * a  # what of b is perpendicular to a
    angle = np.arctan2(np.linalg.norm(across), cosine)
    if np.linalg.norm(across) < _PARALLEL:
        if cosine > 0:
            return linear(first, last, steps)
        axis = np.argmin(np.abs(a))
        across = np.eye(len(a))[axis] - a[axis] * a
    across /= np.linalg.norm(across)
    t = np.linspace(0, 1, steps)[:, None]
    path = (np.cos(t * angle) * a + np.sin(t * angle) * across) * (lengths[0] + t * (lengths[1] - lengths[0]))
    path[0], path[-1] = first, last
    with np.errstate(over="ignore"):
        rounded: Array = path.astype(np.float32)
    return rounded
