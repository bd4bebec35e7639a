from pathlib import Path

import numpy as np
import pytest
import torch

from models.data import load_mnist
from models.evaluation.codes import active_units, codes, probe_figures
from tests.models.tiny import tiny


def test_codes_are_the_posterior_means() -> None:
    model = tiny().requires_grad_(False)
    x = torch.rand(1100, 784, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(codes(model, x), model.encode(x).mean, atol=1e-5, rtol=1e-5)


def test_active_units_vary_by_more_than_a_hundredth() -> None:
    mean = torch.randn(2000, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 0.11, 0.09, 0.0]) + 5
    assert (np.var(mean.numpy(), axis=0) > 0.01).tolist() == [True, True, False, False]
    assert active_units(mean) == 2


def test_the_probes_tell_apart_what_can_be_told_apart() -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(400, dtype=np.uint8) % 2
    angle = generator.uniform(0, 2 * np.pi, 400)
    ring = (1 + 2 * labels)[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)  # one digit around the other
    side = np.stack([10.0 * labels, angle], 1)
    for points, linear in ((ring, False), (side, True)):
        given = torch.from_numpy(points).float()
        figures = probe_figures(given[:200], labels[:200], given[200:], labels[200:])
        assert figures["knn_accuracy"] == 1
        assert (figures["linear_probe_accuracy"] == 1) is linear


def test_the_linear_probe_does_not_ask_how_large_the_numbers_are() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = np.arange(400, dtype=np.uint8) % 2
    points = torch.randn(400, 2, generator=generator) + torch.from_numpy(labels)[:, None] * torch.tensor([4.0, 0.0])
    small = points * torch.tensor([1e-3, 1.0])
    accuracy, of_small = (
        probe_figures(given[:200], labels[:200], given[200:], labels[200:])["linear_probe_accuracy"]
        for given in (points, small)
    )
    assert of_small == accuracy > 0.9


def test_knn_on_pixels_is_what_numpy_finds(mnist: Path) -> None:
    train, test = load_mnist(mnist, "train"), load_mnist(mnist, "test")
    a, b = train.images[:500].reshape(500, -1) / 255.0, test.images[:100].reshape(100, -1) / 255.0
    nearest = train.labels[:500][((b[:, None] - a[None]) ** 2).sum(-1).argsort(1)[:, :5]]
    votes = np.array([np.bincount(row, minlength=10).argmax() for row in nearest])
    given = torch.from_numpy(a).float(), train.labels[:500], torch.from_numpy(b).float(), test.labels[:100]
    assert probe_figures(*given)["knn_accuracy"] == pytest.approx((votes == test.labels[:100]).mean(), abs=0.011)
