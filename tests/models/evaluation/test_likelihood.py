from pathlib import Path

import pytest
import torch

from models.data import load_mnist
from models.evaluation import importance_sampled_log_likelihood
from tests.models.linear_gaussian import gap, linear_gaussian, log_evidence, some_images
from tests.models.tiny import tiny


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("samples", [1, 2, 50])
def test_with_the_exact_posterior_every_draw_gives_the_evidence(samples: int) -> None:
    model = linear_gaussian()
    x = some_images(model)
    estimate = importance_sampled_log_likelihood(model, x, samples, generator())
    torch.testing.assert_close(estimate, log_evidence(model, x))


def test_one_sample_gives_the_elbo_on_average() -> None:
    model = linear_gaussian(0.2, 0.3)
    x = some_images(model, 1)
    draws = importance_sampled_log_likelihood(model, x.expand(20_000, -1), 1, generator())
    error = draws.mean() - (log_evidence(model, x) - gap(model, x))
    assert error.abs() < 5 * draws.std() / 20_000**0.5


def test_more_samples_tighten_the_bound_up_to_the_evidence() -> None:
    model = linear_gaussian(0.2, 0.3)
    x = some_images(model)
    many = x.repeat(200, 1)  # 200 independent estimates of each image
    bounds = [importance_sampled_log_likelihood(model, many, k, generator()).mean().item() for k in (1, 4, 16, 256)]
    assert bounds == sorted(bounds)
    exact = log_evidence(model, x).mean().item()
    assert bounds[0] < exact - 0.2
    assert bounds[-1] == pytest.approx(exact, abs=0.02)


@pytest.mark.parametrize("chunk", [7, 99, 100])
def test_chunks_give_the_same_estimate(chunk: int) -> None:
    exact, x = linear_gaussian(), some_images(linear_gaussian())
    torch.testing.assert_close(
        importance_sampled_log_likelihood(exact, x, 100, generator(), chunk), log_evidence(exact, x)
    )
    other = linear_gaussian(0.1, 0.2)  # whose weights vary: the estimates agree to within their noise
    estimates = [importance_sampled_log_likelihood(other, x.repeat(200, 1), 100, generator(), c) for c in (chunk, 100)]
    torch.testing.assert_close(estimates[0].mean(), estimates[1].mean(), atol=0.02, rtol=0)


def test_chunks_of_the_same_draws_give_the_same_numbers() -> None:
    model = linear_gaussian(0.2, 0.3)
    x = some_images(model, 16)  # torch fills sixteen numbers at a time: whole chunks of them are drawn as one would be
    whole = importance_sampled_log_likelihood(model, x, 40, generator(), 40)
    torch.testing.assert_close(importance_sampled_log_likelihood(model, x, 40, generator(), 7), whole)


def test_real_digits_have_a_finite_likelihood_that_the_seed_decides(mnist: Path) -> None:
    model = tiny()
    x = torch.from_numpy(load_mnist(mnist, "test").images[:5].reshape(5, 784) > 127).float()
    first, again, other = (importance_sampled_log_likelihood(model, x, 20, generator(seed)) for seed in (0, 0, 1))
    assert first.isfinite().all()
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
