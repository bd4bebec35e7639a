from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import kstest, mannwhitneyu
from torch import Tensor

from models.data import load_mnist
from models.evaluation.surprise import auroc, deviation_from_uniform, novelty_figures, shuffle_pixels
from models.linear import LinearVAE
from models.novelty import fit_novelty


def test_the_deviation_is_kolmogorovs_distance_in_points() -> None:
    percentiles = 100 * np.random.default_rng(0).beta(2, 3, 500)
    assert deviation_from_uniform(percentiles) == pytest.approx(100 * kstest(percentiles / 100, "uniform").statistic)
    assert deviation_from_uniform(np.linspace(0, 100, 1001)) < 0.2
    assert deviation_from_uniform(np.full(10, 100.0)) == 100


def test_auroc_counts_pairs() -> None:
    generator = np.random.default_rng(0)
    usual, unlike = generator.normal(size=200), generator.normal(1, 2, 300)
    pairs = mannwhitneyu(unlike, usual).statistic / (200 * 300)
    assert auroc(usual, unlike) == pytest.approx(pairs)
    assert auroc(usual, usual + 100) == 1


def test_shuffling_keeps_an_images_ink() -> None:
    x = torch.rand(5, 784, generator=torch.Generator().manual_seed(0))
    shuffled = shuffle_pixels(x, 0)
    assert torch.equal(shuffled.sort(-1).values, x.sort(-1).values)
    assert (shuffled != x).float().mean() > 0.9


def test_principal_components_of_digits_tell_digits_from_what_is_none(mnist: Path) -> None:
    def images(split: str) -> Tensor:
        return torch.from_numpy(load_mnist(mnist, split).images.reshape(-1, 784)).float() / 255  # type: ignore[arg-type]

    training, test = images("train"), images("test")
    model = LinearVAE((1, 28, 28), 20)
    model.fit(training[:1000])
    model.requires_grad_(False)
    figures = novelty_figures(model, fit_novelty(model, training[1000:]), test, torch.zeros(10, 784), 0)
    assert figures["novelty_deviation_points"] < 10
    assert figures["novelty_auroc_shuffled"] > 0.99
    assert figures["novelty_auroc_inverted"] > 0.99
    assert figures["novelty_auroc_unlike"] < 0.5  # an empty image is easy to explain
