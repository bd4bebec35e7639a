import math

import pytest
import torch
from torch import nn
from torch.distributions import Normal

from models.config import ModelConfig
from models.likelihoods import Bernoulli, Gaussian
from models.networks import Linear
from models.vae import VAE
from tests.models.linear_gaussian import LATENTS, gap, linear_gaussian, log_evidence, sigma_points, some_images
from tests.models.tiny import binary_images, tiny


def config(shape: tuple[int, int, int] = (1, 28, 28), **architecture: object) -> ModelConfig:
    architecture = {"encoder": [256], "latents": 50, "decoder": [256]} | architecture
    return ModelConfig.model_validate(
        {"kind": "vae", "input_shape": shape, "architecture": architecture, "likelihood": {"kind": "bernoulli"}}
    )


def widths(network: nn.Module) -> list[int]:
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    return [layers[0].in_features, *(layer.out_features for layer in layers)]


def test_the_network_of_the_notes() -> None:
    model = VAE.from_config(config())
    assert widths(model.encoder) == [784, 256, 100]
    assert widths(model.decoder) == [50, 256, 784]
    assert {type(m) for m in model.modules() if not list(m.children())} == {Linear}
    assert model.generative


@pytest.mark.parametrize(
    ("shape", "architecture", "encoder", "decoder"),
    [
        ((1, 28, 28), {"encoder": [], "decoder": [], "latents": 2}, [784, 4], [2, 784]),
        ((1, 28, 28), {"encoder": [64, 32], "decoder": [16], "latents": 7}, [784, 64, 32, 14], [7, 16, 784]),
        ((3, 5, 4), {"encoder": [9], "decoder": [8, 11], "latents": 1}, [60, 9, 2], [1, 8, 11, 60]),
    ],
)
def test_sizes_come_from_the_configuration(
    shape: tuple[int, int, int], architecture: dict[str, object], encoder: list[int], decoder: list[int]
) -> None:
    model = VAE.from_config(config(shape, **architecture))
    assert (widths(model.encoder), widths(model.decoder)) == (encoder, decoder)
    x = torch.rand(2, encoder[0])
    mean, variance = model.encode(x)
    assert variance is not None
    assert mean.shape == variance.shape == (2, model.latents)
    images = model.decode(mean)
    assert images.shape == x.shape
    assert ((images >= 0) & (images <= 1)).all()


def test_the_encoder_ends_in_means_and_then_log_sigmas() -> None:
    model, x = tiny(), binary_images()
    raw = model.encoder(x)
    mean, variance = model.encode(x)
    assert variance is not None
    torch.testing.assert_close(mean, raw[:, :4])
    torch.testing.assert_close(variance, raw[:, 4:].exp().square())


def test_elbo_terms_by_hand() -> None:
    model, x = tiny(), binary_images()
    epsilon = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    raw = model.encoder(x)
    q = Normal(raw[:, :4], raw[:, 4:].exp())
    logits = model.decoder(q.mean + q.stddev * epsilon)
    terms = model.elbo_terms(x, epsilon)
    torch.testing.assert_close(terms.log_likelihood, torch.distributions.Bernoulli(logits=logits).log_prob(x).sum(-1))
    torch.testing.assert_close(terms.kl, torch.distributions.kl_divergence(q, Normal(0.0, 1.0)))


def test_several_draws_at_once_are_the_draws_one_by_one() -> None:
    model, x = tiny(), binary_images()
    epsilon = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(1))
    at_once = model.elbo_terms(x, epsilon).log_likelihood
    assert at_once.shape == (5, 3)
    torch.testing.assert_close(at_once, torch.stack([model.elbo_terms(x, e).log_likelihood for e in epsilon]))


def test_the_likelihoods_gradient_reaches_the_encoder_only_by_reparameterization() -> None:
    model, x = tiny(), binary_images()
    epsilon = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    model.elbo_terms(x, epsilon).log_likelihood.sum().backward()
    for parameter in model.encoder.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0

    model.zero_grad()
    mean, log_sigma = model.posterior(x)
    z = Normal(mean, log_sigma.exp()).sample()
    model.likelihood.log_prob(x, model.decoder(z)).sum().backward()
    assert all(parameter.grad is None for parameter in model.encoder.parameters())
    assert all(parameter.grad is not None for parameter in model.decoder.parameters())


@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian(0.1)])
@pytest.mark.parametrize("log_sigma", [-math.inf, -1e30, -1e4, 0.0, 1e4, 1e30, math.inf])
@pytest.mark.parametrize("brightness", [0.0, 1.0])
def test_finite_at_the_extremes(likelihood: Bernoulli | Gaussian, log_sigma: float, brightness: float) -> None:
    model = tiny(likelihood)
    last = model.encoder.layers[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.bias[4:] = log_sigma
    x = torch.full((2, 784), brightness)
    terms = model.elbo_terms(x, torch.randn(2, 4, generator=torch.Generator().manual_seed(1)))
    (terms.kl.sum() - terms.log_likelihood.sum()).backward()
    variance = model.encode(x).variance
    assert variance is not None
    for value in (*terms, variance, *(p.grad for p in model.parameters() if p.grad is not None)):
        assert value.isfinite().all()


def test_finite_with_huge_logits() -> None:
    model, x = tiny(), binary_images()
    last = model.decoder.layers[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight *= 1e6
    terms = model.elbo_terms(x, torch.randn(3, 4, generator=torch.Generator().manual_seed(1)))
    (terms.kl.sum() - terms.log_likelihood.sum()).backward()
    assert terms.log_likelihood.min() < -1e5
    assert terms.log_likelihood.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_the_elbo_is_the_evidence_where_q_is_the_exact_posterior() -> None:
    model = linear_gaussian()
    x = some_images(model)
    terms = model.elbo_terms(x, sigma_points())
    torch.testing.assert_close(terms.log_likelihood.mean(0) - terms.kl.sum(-1), log_evidence(model, x))


@pytest.mark.parametrize(("shift", "widen"), [(0.2, 0.0), (0.0, 0.7), (-0.5, -1.0)])
def test_the_elbo_is_below_the_evidence_by_the_kl_of_q_to_the_posterior(shift: float, widen: float) -> None:
    model = linear_gaussian(shift, widen)
    x = some_images(model)
    terms = model.elbo_terms(x, sigma_points())
    elbo = terms.log_likelihood.mean(0) - terms.kl.sum(-1)
    assert (gap(model, x) > 0.01).all()
    torch.testing.assert_close(elbo, log_evidence(model, x) - gap(model, x))


def test_the_elbo_of_one_draw_is_unbiased() -> None:
    model = linear_gaussian(0.2, 0.3)
    x = some_images(model)
    epsilon = torch.randn(20_000, len(x), LATENTS, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    terms = model.elbo_terms(x, epsilon)
    draws = terms.log_likelihood - terms.kl.sum(-1)  # (K, N)
    error = draws.mean(0) - (log_evidence(model, x) - gap(model, x))
    assert (error.abs() < 5 * draws.std(0) / math.sqrt(len(draws))).all()
