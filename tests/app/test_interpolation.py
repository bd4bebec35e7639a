"""Paths between two vectors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from app.interpolation import linear, spherical

NUMBERS = st.floats(-(2.0**100), 2.0**100, width=32) | st.sampled_from([0.0, 1.0, -1.0])
PAIRS = st.integers(1, 8).flatmap(lambda n: st.tuples(*[arrays(np.float32, n, elements=NUMBERS)] * 2))


@pytest.mark.parametrize("path", [linear, spherical])
@given(pair=PAIRS, steps=st.integers(2, 9))
def test_the_ends_are_exact_and_all_between_is_finite(path, pair, steps: int) -> None:
    points = path(*pair, steps)
    assert points.shape == (steps, len(pair[0])) and points.dtype == np.float32
    np.testing.assert_array_equal(points[[0, -1]], pair)
    assert np.isfinite(points).all()


@given(pair=PAIRS, steps=st.integers(3, 9))
def test_on_the_circle_the_norm_goes_evenly_from_one_to_the_other(pair, steps: int) -> None:
    if len(pair[0]) == 1:
        return  # in one dimension there is no circle
    first, last = (np.linalg.norm(v.astype(float)) for v in pair)
    norms = np.linalg.norm(spherical(*pair, steps).astype(float), axis=1)
    np.testing.assert_allclose(norms, np.linspace(first, last, steps), rtol=1e-5, atol=1e-40)


def test_opposite_vectors_are_joined_by_half_a_circle() -> None:
    a = np.random.default_rng(0).standard_normal(50).astype(np.float32)
    points = spherical(a, -a, 9).astype(float)
    cosines = (points[:-1] * points[1:]).sum(1) / np.square(points[:-1]).sum(1)
    np.testing.assert_allclose(np.degrees(np.arccos(cosines)), 180 / 8, atol=1e-3)


def test_it_is_shoemakes_formula_where_the_norms_are_equal() -> None:
    a, b = np.random.default_rng(0).standard_normal((2, 50))
    b *= np.linalg.norm(a) / np.linalg.norm(b)
    omega = np.arccos(a @ b / (a @ a))
    t = np.linspace(0, 1, 7)[:, None]
    expected = (np.sin((1 - t) * omega) * a + np.sin(t * omega) * b) / np.sin(omega)
    np.testing.assert_allclose(spherical(a.astype(np.float32), b.astype(np.float32), 7), expected, rtol=1e-4, atol=1e-5)


def test_from_zero_and_along_one_direction_the_path_is_straight() -> None:
    a = np.arange(1, 5, dtype=np.float32)
    for first, last in ((0 * a, a), (a, 0 * a), (a, 3 * a), (a[:1], -a[:1]), (0 * a, 0 * a)):
        np.testing.assert_array_equal(spherical(first, last, 5), linear(first, last, 5))
