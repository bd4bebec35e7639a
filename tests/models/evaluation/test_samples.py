from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.stats import entropy

from models.data import load_mnist
from models.evaluation.classifier import load_classifier
from models.evaluation.samples import Moments, draw, frechet_distance, look, moments, sample_figures
from models.likelihoods import Bernoulli
from models.priors import FlowSpec, make_prior
from models.vae import VAE
from tests.models.tiny import tiny


def test_the_distance_of_gaussians_with_commuting_covariances_has_a_closed_form() -> None:
    means = torch.tensor([[0.0, 1.0, -2.0], [3.0, 1.0, 2.0]], dtype=torch.float64)
    scales = torch.tensor([[1.0, 2.0, 0.5], [4.0, 0.0, 0.5]], dtype=torch.float64)
    a, b = (Moments(mean, torch.diag(scale.square())) for mean, scale in zip(means, scales, strict=True))
    expected = (means[0] - means[1]).square().sum() + (scales[0] - scales[1]).square().sum()
    assert frechet_distance(a, b) == pytest.approx(expected.item())
    assert frechet_distance(b, a) == pytest.approx(expected.item())
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_the_distance_of_any_gaussians_is_what_scipy_computes() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=(2, 8, 8))
    means, covariances = generator.normal(size=(2, 8)), (a @ a.T, b @ b.T)
    root = sqrtm(covariances[0] @ covariances[1]).real
    expected = ((means[0] - means[1]) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)
    given = (Moments(torch.from_numpy(m), torch.from_numpy(c)) for m, c in zip(means, covariances, strict=True))
    assert frechet_distance(*given) == pytest.approx(expected, rel=1e-6)


def test_the_distance_of_fewer_images_than_features_to_themselves_is_not_below_0() -> None:
    for seed in range(20):
        same = moments(torch.rand(30, 64, generator=torch.Generator().manual_seed(seed)))
        assert 0 <= frechet_distance(same, same) < 1e-4


def test_moments_are_what_numpy_computes() -> None:
    features = torch.rand(50, 6, generator=torch.Generator().manual_seed(0))
    found = moments(features)
    np.testing.assert_allclose(found.mean, features.double().numpy().mean(0))
    np.testing.assert_allclose(found.covariance, np.cov(features.double().numpy().T, bias=True))


def test_samples_are_decoded_codes_of_the_prior_and_the_seed_decides_them() -> None:
    model = tiny().requires_grad_(False)
    noise = torch.randn(7, 4, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(draw(model, 7, 3), model.decode(noise))
    flow = make_prior(FlowSpec(couplings=2, hidden=(8,)), 4)
    for parameter in flow.parameters():  # type: ignore[attr-defined]
        torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(0))
    bent = VAE((1, 28, 28), (16,), (12,), 4, Bernoulli(), flow).requires_grad_(False)
    torch.testing.assert_close(draw(bent, 7, 3), bent.decode(flow.from_noise(noise)))


def test_real_digits_are_near_real_digits_and_an_untrained_model_is_not(mnist: Path) -> None:
    test, training = (
        torch.from_numpy(load_mnist(mnist, split).images[:1000].reshape(-1, 784)).float() / 255
        for split in ("test", "train")
    )
    figures = sample_figures(tiny().requires_grad_(False), load_classifier(), test, training, 0)
    assert 0 < figures["fid_floor"] < 1
    assert figures["fid"] > 20
    drawn = look(load_classifier(), draw(tiny().requires_grad_(False), 10_000, 0)).probabilities.argmax(-1)
    shares = np.unique(drawn, return_counts=True)[1]
    assert figures["sample_class_entropy_nats"] == pytest.approx(entropy(shares), abs=1e-5)
    assert figures["sample_confidence"] < look(load_classifier(), test).probabilities.amax(-1).mean()
