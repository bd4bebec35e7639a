import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.data import load_mnist
from models.evaluation import importance_sample
from models.evaluation.likelihood import STEPS, WIDENED, nll_figures
from models.laplace import laplace_approximation
from models.likelihoods import Gaussian
from models.vae import VAE
from tests.models.evaluation.test_evaluate import build_kind
from tests.models.linear_gaussian import gap, linear_gaussian, log_evidence, mixed, some_images
from tests.models.tiny import binary_images, tiny


def estimate(model: VAE, x: Tensor, samples: int, generator: torch.Generator, chunk: int = 1000) -> Tensor:
    """By the posterior's samples alone."""
    evidence = importance_sample(model, x, samples, generator, chunk=chunk)
    assert torch.equal(evidence.log_likelihood, evidence.by_posterior)
    return evidence.log_likelihood


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_where_nothing_can_be_linearized_all_samples_are_the_posteriors() -> None:
    torch.manual_seed(0)
    model = build_kind("vae", prior={"kind": "flow", "couplings": 4, "hidden": [8]})
    for parameter in model.prior.parameters():  # type: ignore[union-attr]
        parameter.copy_(10 * torch.randn(parameter.shape))  # a flow that has run away
    x = binary_images(5)
    with pytest.raises(torch.linalg.LinAlgError):  # type: ignore[attr-defined]
        laplace_approximation(model, x, STEPS, WIDENED)  # type: ignore[arg-type]
    figures = nll_figures(model, x, 10, "float32", generator())  # type: ignore[arg-type]
    assert figures["test_nll_nats"] == pytest.approx(figures["test_nll_by_posterior_nats"])


@pytest.mark.parametrize("samples", [1, 2, 50])
def test_with_the_exact_posterior_every_draw_gives_the_evidence(samples: int) -> None:
    model = linear_gaussian()
    x = some_images(model)
    torch.testing.assert_close(estimate(model, x, samples, generator()), log_evidence(model, x))


def test_one_sample_gives_the_elbo_on_average() -> None:
    model = linear_gaussian(0.2, 0.3)
    x = some_images(model, 1)
    draws = estimate(model, x.expand(20_000, -1), 1, generator())
    error = draws.mean() - (log_evidence(model, x) - gap(model, x))
    assert error.abs() < 5 * draws.std() / 20_000**0.5


def test_more_samples_tighten_the_bound_up_to_the_evidence() -> None:
    model = linear_gaussian(0.2, 0.3)
    x = some_images(model)
    many = x.repeat(200, 1)  # 200 independent estimates of each image
    bounds = [estimate(model, many, k, generator()).mean().item() for k in (1, 4, 16, 256)]
    assert bounds == sorted(bounds)
    exact = log_evidence(model, x).mean().item()
    assert bounds[0] < exact - 0.2
    assert bounds[-1] == pytest.approx(exact, abs=0.02)


@pytest.mark.parametrize("chunk", [7, 99, 100])
def test_chunks_give_the_same_estimate(chunk: int) -> None:
    exact, x = linear_gaussian(), some_images(linear_gaussian())
    torch.testing.assert_close(estimate(exact, x, 100, generator(), chunk), log_evidence(exact, x))
    other = linear_gaussian(0.1, 0.2)  # whose weights vary: the estimates agree to within their noise
    estimates = [estimate(other, x.repeat(200, 1), 100, generator(), c) for c in (chunk, 100)]
    torch.testing.assert_close(estimates[0].mean(), estimates[1].mean(), atol=0.02, rtol=0)


def test_chunks_of_the_same_draws_give_the_same_numbers() -> None:
    model = linear_gaussian(0.2, 0.3)
    x = some_images(model, 16)  # torch fills sixteen numbers at a time: whole chunks of them are drawn as one would be
    whole = estimate(model, x, 40, generator(), 40)
    torch.testing.assert_close(estimate(model, x, 40, generator(), 7), whole)


def test_real_digits_have_a_finite_likelihood_that_the_seed_decides(mnist: Path) -> None:
    model = tiny()
    x = torch.from_numpy(load_mnist(mnist, "test").images[:5].reshape(5, 784) > 127).float()
    first, again, other = (estimate(model, x, 20, generator(seed)) for seed in (0, 0, 1))
    assert first.isfinite().all()
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("samples", [2, 5, 60])
@pytest.mark.parametrize("chunk", [7, 1000])
def test_a_mixture_of_two_exact_posteriors_gives_the_evidence_with_every_draw(samples: int, chunk: int) -> None:
    model = linear_gaussian()
    x = some_images(model)
    for found in importance_sample(model, x, samples, generator(), laplace_approximation(model, x), chunk):
        torch.testing.assert_close(found, log_evidence(model, x))


def test_the_mixture_comes_near_the_evidence_where_the_posterior_is_blind_to_covariance() -> None:
    model = mixed(linear_gaussian(0.2, 0.1))
    x = some_images(model)
    many, exact = x.repeat(200, 1), log_evidence(model, x).mean().item()
    evidence = importance_sample(model, many, 30, generator(), laplace_approximation(model, many, STEPS, WIDENED))
    assert evidence.by_posterior.mean().item() < exact - 0.5
    assert evidence.log_likelihood.mean().item() == pytest.approx(exact, abs=0.05)
    assert evidence.log_likelihood.mean().item() < exact  # a bound still


def test_the_mixtures_weights_are_unbiased() -> None:
    model = mixed(linear_gaussian(0.2, 0.1))
    x = some_images(model, 1)
    many = x.expand(100_000, -1)
    ratios = (
        importance_sample(model, many, 3, generator(), laplace_approximation(model, x, STEPS, WIDENED)).log_likelihood
        - log_evidence(model, x)
    ).exp()
    assert abs(ratios.mean() - 1) < 5 * ratios.std() / len(ratios) ** 0.5
    assert ratios.std() / len(ratios) ** 0.5 < 0.01


def test_the_exact_posterior_is_measured_in_full_precision() -> None:
    model = build_kind("linear")
    x = binary_images(20)
    full, half = (nll_figures(model, x, 5, precision, generator()) for precision in ("float32", "bfloat16"))
    assert full == half and half["nll_precision"] == "float32" and half["nll_samples"] == 1


def test_half_of_the_samples_are_the_posteriors_own() -> None:
    model = mixed(linear_gaussian(0.2, 0.1))
    x = some_images(model)
    mixture = importance_sample(model, x, 41, generator(), laplace_approximation(model, x, STEPS, WIDENED))
    torch.testing.assert_close(mixture.by_posterior, estimate(model, x, 21, generator()))


@pytest.mark.parametrize("sigma", [0.3, 0.05])
def test_under_a_narrow_gaussian_the_nll_is_the_integral_over_all_codes(sigma: float) -> None:
    torch.manual_seed(0)
    model = VAE((1, 6, 6), [16], [16], 2, Gaussian(sigma)).requires_grad_(False)
    for parameter in model.decoder.parameters():
        parameter.mul_(2)  # codes matter, and the encoder, which is random, is far off
    x = (model.decode(torch.randn(16, 2)) + sigma / 2 * torch.randn(16, 36)).clamp(0, 1)
    side = torch.linspace(-6, 6, 1201)
    rows = [torch.cartesian_prod(row, side)[:, None].expand(-1, len(x), -1) for row in side.split(100)]
    evidence = torch.cat([model.log_joint(x, codes) for codes in rows]).logsumexp(0) + 2 * math.log(12 / 1200)
    full, half = (nll_figures(model, x, 500, precision, generator()) for precision in ("float32", "bfloat16"))
    assert full["test_nll_nats"] == pytest.approx(-evidence.mean().item(), abs=0.05)
    assert half["test_nll_nats"] == pytest.approx(full["test_nll_nats"], abs=0.1)
