from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from models.data import load_mnist
from models.deterministic import AE
from models.evaluation.reconstruction import add_noise, filter_median, reconstruction_figures
from models.likelihoods import Bernoulli
from tests.models.tiny import tiny


@pytest.fixture(scope="module")
def x(mnist: Path) -> Tensor:
    return torch.from_numpy(load_mnist(mnist, "test").images[:600].reshape(-1, 784)).float() / 255


def test_the_errors_are_what_numpy_computes(x: Tensor) -> None:
    model = tiny().requires_grad_(False)
    figures = reconstruction_figures(model, x, 28, 0)
    clean, noisy = x.double().numpy(), add_noise(x, 0)
    error = ((model.reconstruct(x).double().numpy() - clean) ** 2).mean(1)
    assert figures["reconstruction_mse"] == pytest.approx(error.mean(), rel=1e-5)
    assert figures["reconstruction_psnr_db"] == pytest.approx((10 * np.log10(1 / error)).mean(), rel=1e-5)
    denoised = model.reconstruct(noisy).double().numpy()
    assert figures["denoised_mse"] == pytest.approx(((denoised - clean) ** 2).mean(), rel=1e-5)


def test_the_noise_is_half_a_pixels_range_clipped(x: Tensor) -> None:
    noisy = add_noise(x, 0)
    assert noisy.min() == 0 and noisy.max() == 1
    # Of a black pixel: E[clip(sigma u, 0, 1)²] for u ~ N(0, 1) and sigma = 1/2, by the truncated normal's moments.
    u = np.linspace(-10, 10, 2_000_001)
    expected = (np.clip(u / 2, 0, 1) ** 2 * np.exp(-(u**2) / 2)).sum() * (u[1] - u[0]) / np.sqrt(2 * np.pi)
    assert noisy[x == 0].square().mean().item() == pytest.approx(expected, rel=0.01)


def test_the_median_filter_takes_each_images_own_neighbourhood(x: Tensor) -> None:
    filtered = filter_median(x, 28).reshape(-1, 28, 28)
    images = x.reshape(-1, 28, 28)
    for n, row, column in ((0, 10, 12), (1, 20, 9), (599, 1, 1)):
        neighbours = images[n, row - 1 : row + 2, column - 1 : column + 2]
        assert filtered[n, row, column] == neighbours.median()


def test_an_image_that_comes_back_exactly_has_100_db() -> None:
    class First(AE):
        offset = 0.0

        def reconstruct(self, x: Tensor) -> Tensor:
            return torch.cat([x[:1] + self.offset, x[1:] + 0.1])

    model = First((1, 28, 28), (), (), 1, Bernoulli())
    for model.offset in (0.0, 1e-30):  # whose square is 0 in float32
        figures = reconstruction_figures(model, torch.zeros(4, 784), 28, 0)
        assert figures["reconstruction_psnr_db"] == pytest.approx((100 + 3 * 20) / 4)
        assert figures["reconstruction_mse"] == pytest.approx(3 * 0.01 / 4)


def test_a_perfect_model_leaves_the_noise(x: Tensor) -> None:
    class Identity(AE):
        def reconstruct(self, x: Tensor) -> Tensor:
            return x + 0.001

    figures = reconstruction_figures(Identity((1, 28, 28), (), (), 1, Bernoulli()), x, 28, 0)
    assert figures["reconstruction_psnr_db"] == pytest.approx(60, abs=0.01)
    assert figures["denoised_mse"] == pytest.approx(figures["noisy_mse"], rel=0.01)
    assert figures["median_filter_mse"] < figures["noisy_mse"]
