import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Normal

from models.config import ModelConfig
from models.likelihoods import (
    Bernoulli,
    BernoulliSpec,
    Gaussian,
    GaussianSpec,
    Likelihood,
    LinearGaussian,
    LinearGaussianSpec,
    make_likelihood,
)

HUGE = (1e4, -1e4, 1e30, -1e30)


def images_and_outputs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(6, 20, generator=generator), 4 * torch.randn(3, 6, 20, generator=generator)


def test_bernoulli_is_that_of_torch_distributions() -> None:
    x, output = images_and_outputs()
    binary = (x > 0.5).float()
    log_prob = Bernoulli().log_prob(binary, output)
    assert log_prob.shape == (3, 6)
    torch.testing.assert_close(log_prob, TorchBernoulli(logits=output).log_prob(binary).sum(-1))


def test_bernoulli_of_a_grey_image_is_the_mean_over_its_binarizations() -> None:
    x, output = torch.tensor([[0.25, 0.5, 1.0]]), torch.tensor([[0.3, -2.0, 1.5]])
    expected = 0.0
    for binary in torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3):
        weight = torch.where(binary == 1, x, 1 - x).prod()
        expected += (weight * TorchBernoulli(logits=output).log_prob(binary).sum(-1)).item()
    assert Bernoulli().log_prob(x, output).item() == pytest.approx(expected, rel=1e-6)


def test_gaussian_is_that_of_torch_distributions() -> None:
    x, output = images_and_outputs()
    for sigma in (0.1, 1.0, 3.0):
        expected = Normal(output.tanh(), sigma).log_prob(2 * x - 1).sum(-1)
        torch.testing.assert_close(Gaussian(sigma).log_prob(x, output), expected)


@pytest.mark.parametrize("sigma", [0.1, 1.0, 3.0])
def test_linear_gaussian_is_that_of_torch_distributions(sigma: float) -> None:
    x, output = images_and_outputs()
    likelihood = _linear_gaussian(sigma)
    torch.testing.assert_close(likelihood.log_prob(x, output), Normal(output, sigma).log_prob(x).sum(-1))
    assert torch.equal(likelihood.mean(output), output.clamp(0, 1))


def test_the_scale_of_linear_gaussian_is_fitted() -> None:
    """Its gradient vanishes where sigma² is the mean squared residual, which is where the likelihood is greatest."""
    x, output = images_and_outputs()
    for factor, sign in ((1.0, 0), (1.5, 1), (0.5, -1)):
        likelihood = _linear_gaussian(factor * (x - output).square().mean().sqrt().item())
        (-likelihood.log_prob(x, output).mean()).backward()
        assert likelihood.log_sigma.grad is not None
        slope = likelihood.log_sigma.grad.item()
        assert slope == pytest.approx(0, abs=1e-4) if not sign else sign * slope > 1


def _linear_gaussian(sigma: float) -> LinearGaussian:
    likelihood = LinearGaussian()
    torch.nn.init.constant_(likelihood.log_sigma, math.log(sigma))
    return likelihood


@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian(0.1), _linear_gaussian(0.2)])
def test_a_density_keeps_its_precision_where_the_networks_have_half_of_it(likelihood: Likelihood) -> None:
    generator = torch.Generator().manual_seed(0)
    x, output = torch.rand(6, 784, generator=generator), torch.randn(6, 784, generator=generator).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = likelihood.log_prob(x, output)
    assert found.dtype == torch.float32
    exact = likelihood.log_prob(x.double(), output.double())
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-3)


def test_mean_is_an_image_in_0_to_1() -> None:
    output = torch.tensor([-math.inf, -1e4, 0.0, 1e4, math.inf])
    for likelihood in (Bernoulli(), Gaussian(0.5)):
        torch.testing.assert_close(likelihood.mean(output), torch.tensor([0.0, 0.0, 0.5, 1.0, 1.0]))


@given(st.floats(-20, 20, width=32))
def test_mean_is_the_expectation_of_the_distribution(logit: float) -> None:
    output = torch.tensor([logit])
    torch.testing.assert_close(Bernoulli().mean(output), TorchBernoulli(logits=output).mean)
    torch.testing.assert_close(2 * Gaussian(0.5).mean(output) - 1, output.tanh())


@pytest.mark.parametrize("value", HUGE)
@pytest.mark.parametrize("brightness", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian(0.1)])
def test_huge_outputs_have_a_finite_density_and_gradient(
    value: float, brightness: float, likelihood: Bernoulli | Gaussian
) -> None:
    output = torch.full((1, 784), value, requires_grad=True)
    log_prob = likelihood.log_prob(torch.full((1, 784), brightness), output)
    log_prob.sum().backward()
    assert log_prob.isfinite().all()
    assert output.grad is not None
    assert output.grad.isfinite().all()


def test_a_pixel_given_for_certain_and_right_costs_nothing() -> None:
    x = torch.tensor([[0.0, 1.0]])
    assert Bernoulli().log_prob(x, torch.tensor([[-1e4, 1e4]])).item() == 0.0
    assert Bernoulli().log_prob(x, torch.tensor([[1e4, -1e4]])).item() == -2e4


def test_a_configuration_names_the_likelihood() -> None:
    assert isinstance(make_likelihood(BernoulliSpec()), Bernoulli)
    gaussian = make_likelihood(GaussianSpec(sigma=0.3))
    assert isinstance(gaussian, Gaussian)
    assert gaussian.sigma == 0.3
    assert isinstance(make_likelihood(LinearGaussianSpec()), LinearGaussian)


@pytest.mark.parametrize(
    "spec",
    [
        {"kind": "poisson"},
        {"kind": "gaussian"},
        {"kind": "gaussian", "sigma": 0},
        {"kind": "gaussian", "sigma": -1.0},
        {"kind": "gaussian", "sigma": math.nan},
        {"kind": "bernoulli", "sigma": 1.0},
        {"kind": "linear-gaussian", "sigma": 1.0},
    ],
)
def test_a_likelihood_that_is_none_is_an_error(spec: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="likelihood"):
        ModelConfig.model_validate({"kind": "vae", "architecture": {}, "likelihood": spec})
