"""A digit that was photographed, compressed or redrawn: how nearly it comes back, and how far its mean latent moves.

Distances are in units of the median distance between the mean latents of two random different digits.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from app.images import fit_image, read_image
from models.checkpoint import load_checkpoint
from tests.images.pages import CLOSE, EXACT, Page, sharply_enlarged

COUNT = 100

exact = pytest.mark.parametrize("page", EXACT, ids=lambda page: page.__name__)
close = pytest.mark.parametrize("page", CLOSE, ids=lambda page: page.__name__)


@pytest.fixture(scope="module")
def latent_means(zoo: Path) -> Callable[[np.ndarray], np.ndarray]:
    model = load_checkpoint(zoo / "mnist-mlp").model.eval()

    def means(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model.encode(torch.from_numpy(images.astype(np.float32)).flatten(1)).mean.numpy()

    return means


@pytest.fixture(scope="module")
def unit(digits, latent_means) -> float:
    means = latent_means(digits / 255)
    return float(np.median(np.linalg.norm(means - np.roll(means, 1, axis=0), axis=1)))


@pytest.fixture(scope="module")
def fitted(digits) -> Callable[[Page], np.ndarray]:
    """The first digits, each read from a page of its own."""

    @cache
    def read(page: Page) -> np.ndarray:
        pages = (page(digit, np.random.default_rng(i)) for i, digit in enumerate(digits[:COUNT]))
        return np.stack([fit_image(read_image(file)) for file in pages])

    return read


@pytest.fixture(scope="module")
def squared_errors(digits, fitted) -> Callable[[Page], np.ndarray]:
    return lambda page: np.mean((fitted(page) - digits[:COUNT] / 255) ** 2, axis=(1, 2))


@pytest.fixture(scope="module")
def distances(digits, latent_means, unit, fitted) -> Callable[[Page], np.ndarray]:
    return lambda page: np.linalg.norm(latent_means(fitted(page)) - latent_means(digits[:COUNT] / 255), axis=1) / unit


@exact
def test_a_digit_enlarged_by_whole_pixels_comes_back(page, squared_errors):
    assert np.percentile(squared_errors(page), 95) < 1e-9


@exact
def test_the_latent_of_a_digit_enlarged_by_whole_pixels_stays(page, distances):
    assert np.percentile(distances(page), 95) < 0.001


@close
def test_a_digit_blurred_or_photographed_comes_back_nearly(page, squared_errors):
    # Two random digits are 0.1 apart, and a digit and itself shifted by one pixel 0.03.
    assert np.median(squared_errors(page)) < 0.003


@close
def test_the_latent_of_a_digit_blurred_or_photographed_moves_little(page, distances):
    moved = distances(page)
    # A resampler's ringing hides a few digits' edges: those land one pixel off, which is a distance of 0.4.
    assert np.median(moved) < 0.1
    assert np.percentile(moved, 95) < (0.5 if page is sharply_enlarged else 0.15)
