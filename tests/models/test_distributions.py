import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from models.distributions import (
    LOG_SIGMA_MAX,
    LOG_SIGMA_MIN,
    DiagonalGaussian,
    FullGaussian,
    bound_log_sigma,
    gaussian_log_density,
    kl_to_standard_normal,
    reparameterize,
)
from models.errors import ShapeError

MEANS = st.floats(-100, 100, width=32)
LOG_SIGMAS = st.floats(LOG_SIGMA_MIN, LOG_SIGMA_MAX, width=32)


def gaussians(seed: int = 0, shape: tuple[int, ...] = (7, 5)) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)


def test_kl_is_that_of_torch_distributions() -> None:
    mean, log_sigma = gaussians()
    expected = kl_divergence(Normal(mean, log_sigma.exp()), Normal(torch.zeros(7, 5), torch.ones(7, 5)))
    torch.testing.assert_close(kl_to_standard_normal(mean, log_sigma), expected)


@given(MEANS, LOG_SIGMAS)
def test_kl_is_never_negative(mean: float, log_sigma: float) -> None:
    kl = kl_to_standard_normal(torch.tensor([mean]), torch.tensor([log_sigma])).item()
    assert 0 <= kl < math.inf


@given(st.floats(-(2**-10), 2**-10, width=32))
def test_kl_loses_nothing_near_the_prior(log_sigma: float) -> None:
    exact = log_sigma**2 * (1 + 2 * log_sigma / 3 + log_sigma**2 / 3)  # the series of 1/2 (e^2s - 1 - 2s)
    kl = kl_to_standard_normal(torch.tensor([0.0]), torch.tensor([log_sigma])).item()
    # Relative to s, not to s^2: the two terms that are subtracted are of the size of s.
    assert kl == pytest.approx(exact, abs=2e-7 * abs(log_sigma), rel=1e-3)


def test_kl_is_zero_at_the_prior_and_nowhere_else() -> None:
    assert kl_to_standard_normal(torch.zeros(3), torch.zeros(3)).tolist() == [0.0, 0.0, 0.0]
    assert kl_to_standard_normal(torch.tensor([0.1]), torch.tensor([0.0])).item() > 0
    assert kl_to_standard_normal(torch.tensor([0.0]), torch.tensor([0.1])).item() > 0


def test_kl_of_shapes_that_differ_is_an_error_that_names_both() -> None:
    with pytest.raises(ShapeError, match=r"\(2, 3\).*\(3, 2\)"):
        kl_to_standard_normal(torch.zeros(2, 3), torch.zeros(3, 2))


def test_log_density_is_that_of_torch_distributions() -> None:
    mean, log_sigma = gaussians()
    z, _ = gaussians(seed=1, shape=(11, 7, 5))
    expected = Independent(Normal(mean, log_sigma.exp()), 1).log_prob(z)
    torch.testing.assert_close(gaussian_log_density(z, mean, log_sigma), expected)
    assert expected.shape == (11, 7)


def test_log_density_is_by_default_of_the_standard_normal() -> None:
    z, _ = gaussians()
    standard = Independent(Normal(torch.zeros(5), torch.ones(5)), 1)
    torch.testing.assert_close(gaussian_log_density(z), standard.log_prob(z))
    assert gaussian_log_density(z.double()).dtype == torch.float64


def test_many_draws_have_the_mean_and_the_deviation_asked_for() -> None:
    mean, log_sigma = torch.tensor([-2.0, 0.0, 5.0]), torch.tensor([-3.0, 0.0, 1.0])
    draws = 40_000
    epsilon = torch.randn(draws, 3, generator=torch.Generator().manual_seed(0))
    z = reparameterize(mean, log_sigma, epsilon)
    standard_error = log_sigma.exp() / math.sqrt(draws)
    assert ((z.mean(0) - mean).abs() < 5 * standard_error).all()
    assert ((z.std(0) - log_sigma.exp()).abs() < 5 * standard_error / math.sqrt(2)).all()


def test_a_sample_is_differentiable_in_mean_and_log_sigma() -> None:
    mean, log_sigma = (t.requires_grad_() for t in gaussians())
    epsilon = torch.randn(7, 5, generator=torch.Generator().manual_seed(2))
    reparameterize(mean, log_sigma, epsilon).sum().backward()
    assert mean.grad is not None
    assert log_sigma.grad is not None
    torch.testing.assert_close(mean.grad, torch.ones(7, 5))
    torch.testing.assert_close(log_sigma.grad, log_sigma.detach().exp() * epsilon)


@given(LOG_SIGMAS)
def test_a_log_sigma_within_the_bounds_is_left_alone(log_sigma: float) -> None:
    assert bound_log_sigma(torch.tensor(log_sigma)).item() == log_sigma


@given(MEANS, st.floats(width=32, allow_nan=False), st.floats(-6, 6, width=32))
def test_everything_is_finite_whatever_the_log_sigma(mean: float, log_sigma: float, epsilon: float) -> None:
    m, s = torch.tensor([mean]), bound_log_sigma(torch.tensor([log_sigma]))
    z = reparameterize(m, s, torch.tensor([epsilon]))
    for value in (z, kl_to_standard_normal(m, s), gaussian_log_density(z, m, s), gaussian_log_density(z)):
        assert value.isfinite().all()


def full(count: int = 5, latents: int = 4) -> FullGaussian:
    generator = torch.Generator().manual_seed(3)
    mean, factor = (torch.randn(count, latents, *more, generator=generator).double() for more in ((), (latents,)))
    return FullGaussian(mean, factor.tril(-1) + torch.diag_embed(factor.diagonal(dim1=-2, dim2=-1).abs() + 0.1))


def test_draws_and_densities_of_a_full_gaussian_are_those_of_torch_distributions() -> None:
    found, exact = full(), MultivariateNormal(full().mean, scale_tril=full().factor)
    epsilon = torch.randn(50_000, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    z = found.draw(epsilon)
    torch.testing.assert_close(found.log_prob(z), exact.log_prob(z))
    scale = exact.covariance_matrix.abs().amax((-2, -1))
    assert ((z.mean(0) - exact.mean).abs() < 0.03 * scale.sqrt()[:, None]).all()
    for n in range(5):
        assert ((z[:, n].T.cov() - exact.covariance_matrix[n]).abs() < 0.03 * scale[n]).all()


def test_a_full_gaussian_without_covariances_is_a_diagonal_one() -> None:
    diagonal = DiagonalGaussian(*gaussians())
    same = FullGaussian(diagonal.mean, torch.diag_embed(diagonal.log_sigma.exp()))
    epsilon = torch.randn(11, 7, 5, generator=torch.Generator().manual_seed(0))
    z = diagonal.draw(epsilon)
    torch.testing.assert_close(same.draw(epsilon), z)
    torch.testing.assert_close(same.log_prob(z), diagonal.log_prob(z))


def test_a_full_gaussian_is_computed_in_full_where_networks_are_not() -> None:
    single = FullGaussian(*(t.float() for t in full()))
    epsilon = torch.randn(11, 5, 4, generator=torch.Generator().manual_seed(0))
    z = single.draw(epsilon)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(single.draw(epsilon), z)
        assert torch.equal(single.log_prob(z), torch.autocast("cpu", enabled=False)(single.log_prob)(z))
