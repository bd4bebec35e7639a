"""A speck beside the digit is no part of it."""

import numpy as np
import pytest
from PIL import Image

from app.images import Picture, fit_image
from app.images.specks import without_specks


@pytest.mark.parametrize(("side", "speck"), [(280, 4), (1000, 15)])
@pytest.mark.parametrize("noise", [0, 8])
def test_a_speck_in_a_corner_changes_nothing(digits: np.ndarray, side: int, speck: int, noise: int) -> None:
    scale = side // 56
    for i, digit in enumerate(digits[:10]):
        page = np.full((side, side), 235.0)
        start = (side - 28 * scale) // 2
        page[start : start + 28 * scale, start : start + 28 * scale] -= digit.repeat(scale, 0).repeat(scale, 1) * 0.9
        page += noise * np.random.default_rng(i).standard_normal(page.shape)
        spotted = page.copy()
        spotted[:speck, -speck:] = 20
        clean, dirty = (fit_image(Picture((p.clip(0, 255) / 255).astype(np.float32))) for p in (page, spotted))
        assert np.abs(clean - dirty).mean() < (0.02 if noise else 1e-3)


@pytest.mark.parametrize("noise", [0.0, 0.02])
@pytest.mark.parametrize(("count", "speck"), [(1, 1), (1, 6), (20, 1), (10, 3)])
def test_specks_near_the_digit_or_within_it_change_nothing(
    digits: np.ndarray, count: int, speck: int, noise: float
) -> None:
    for i, digit in enumerate(digits[:10]):
        random = np.random.default_rng(i)
        page = np.ones((700, 900))  # at white half of the noise is cut off
        page[150:570, 200:620] -= np.asarray(Image.fromarray(digit).resize((420, 420), Image.Resampling.BICUBIC)) / 255
        spotted = page.copy()
        for y, x in random.integers((110, 160), (605, 655), (count, 2)):
            spotted[y : y + speck, x : x + speck] = 0
        grain = noise * random.standard_normal(page.shape)
        clean, dirty = (fit_image(Picture(np.clip(p + grain, 0, 1).astype(np.float32))) for p in (page, spotted))
        assert np.abs(clean - digit / 255).mean() < 0.02
        # What touches a stroke is part of it.
        assert np.abs(clean - dirty).mean() < (0.01 if speck < 6 else 0.03)


def test_a_digit_of_dots_is_no_page_of_specks(digits: np.ndarray) -> None:
    for digit in digits[:10]:
        dots = np.kron(digit / 255, np.pad(np.ones((3, 3)), ((0, 9), (0, 9))))
        fitted = fit_image(Picture((1 - np.pad(dots, 50)).astype(np.float32)))
        assert fitted.max() == 1 and np.corrcoef(fitted.ravel(), digit.ravel())[0, 1] > 0.8


def test_parts_of_a_broken_digit_stay() -> None:
    ink = np.zeros((28, 28), np.float32)
    ink[4:8, 8:20] = 1  # the bar of a 5, apart from the rest
    ink[11:24, 8:20] = 1
    ink[0, 27] = 1
    kept = without_specks(ink, ink > 0)
    assert kept[:8].any() and kept[11:].any() and not kept[0, 27]
    assert kept.sum() == (ink > 0).sum() - 1


def test_a_page_of_one_part_is_kept_whole() -> None:
    drawn = np.eye(200, 90, dtype=bool)
    assert np.array_equal(without_specks(drawn.astype(np.float32), drawn), drawn)
