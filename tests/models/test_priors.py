import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from models.priors import Flow, FlowSpec, StandardNormal, StandardNormalSpec, make_prior


def flow(latents: int, couplings: int = 6, hidden: tuple[int, ...] = (16, 16), scale: float = 1.0) -> Flow:
    """A flow, in float64, of random weights, so that it bends; `scale` says how much."""
    with torch.random.fork_rng():
        torch.manual_seed(latents)
        prior = Flow(latents, couplings, hidden).double().requires_grad_(False)
        for parameter in prior.parameters():
            parameter.copy_(scale * torch.randn_like(parameter) / math.sqrt(parameter.shape[-1]))
    return prior


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("latents", [2, 3, 4, 5, 8, 13])
@pytest.mark.parametrize("couplings", [1, 2, 5, 8])
def test_noise_becomes_codes_and_codes_noise(latents: int, couplings: int) -> None:
    prior, u = flow(latents, couplings), noise(4, 50, latents)
    z = prior.from_noise(u)
    assert z.shape == u.shape
    assert not torch.allclose(z, u, atol=0.1)
    torch.testing.assert_close(prior.to_noise(z), u, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(prior.from_noise(prior.to_noise(u)), u, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("latents", [2, 3, 5, 8])
def test_the_density_is_that_of_the_noise_with_autograds_jacobian(latents: int) -> None:
    prior, z = flow(latents), noise(10, latents)
    for code, found in zip(z, prior.log_prob(z), strict=True):
        jacobian = torch.func.jacrev(prior.to_noise)(code)
        at_noise = Normal(0.0, 1.0).log_prob(prior.to_noise(code)).sum()
        torch.testing.assert_close(found, at_noise + torch.linalg.slogdet(jacobian).logabsdet)


def test_the_density_in_the_plane_integrates_to_1() -> None:
    prior = flow(2, scale=0.7)
    drawn = prior.from_noise(noise(5000, 2))
    low, high = drawn.amin(0) - 4, drawn.amax(0) + 4
    axes = [torch.linspace(a, b, 400, dtype=torch.float64) for a, b in zip(low.tolist(), high.tolist(), strict=True)]
    cell = ((high - low) / 399).prod()
    density = prior.log_prob(torch.cartesian_prod(*axes)).exp()
    assert (density.sum() * cell).item() == pytest.approx(1, abs=2e-3)


def test_what_is_drawn_follows_the_density() -> None:
    """The mean of exp(-log p) over draws inside a box is the box's area."""
    prior = flow(2, scale=0.7)
    z = prior.from_noise(noise(50_000, 2))
    low, high = z.quantile(0.4, dim=0), z.quantile(0.6, dim=0)
    inside = ((z > low) & (z < high)).all(1)
    weights = torch.where(inside, (-prior.log_prob(z)).exp(), 0.0)
    error = weights.mean() - (high - low).prod()
    assert abs(error) < 5 * weights.std() / math.sqrt(len(z))


@pytest.mark.parametrize("latents", [2, 5, 16])
def test_before_training_it_is_the_standard_normal(latents: int) -> None:
    prior, z = Flow(latents, 6, (8,)), noise(7, latents).float()
    torch.testing.assert_close(prior.log_prob(z), StandardNormal().log_prob(z))
    torch.testing.assert_close(prior.log_prob(z), Normal(0.0, 1.0).log_prob(z).sum(-1))
    # The couplings change nothing; what is left deals the numbers out anew.
    torch.testing.assert_close(prior.to_noise(z).sort(-1).values, z.sort(-1).values)


@pytest.mark.parametrize("latents", [2, 3, 4, 7, 10])
def test_each_pair_of_couplings_changes_every_latent(latents: int) -> None:
    still, z = Flow(latents, 6, ()).double().requires_grad_(False), noise(latents).float().double()
    for pair in pairwise(range(7)):
        if pair[0] % 2:
            continue
        moved = Flow(latents, 6, ()).double().requires_grad_(False)
        for number in pair:
            moved.couplings[number].network.layers[-1].bias.fill_(0.3)
        assert not torch.isclose(moved.to_noise(z), still.to_noise(z)).any()


def test_after_a_few_pairs_every_number_depends_on_every_other() -> None:
    jacobian = torch.func.jacrev(flow(16, couplings=10).to_noise)(noise(16))
    assert (jacobian.abs() > 1e-9).all()


def test_one_latent_cannot_be_split() -> None:
    with pytest.raises(ValueError, match=r"^a flow expects at least 2 latents, found 1$"):
        make_prior(FlowSpec(couplings=2, hidden=(4,)), 1)


def test_a_configuration_names_the_prior() -> None:
    assert isinstance(make_prior(StandardNormalSpec(), 1), StandardNormal)
    prior = make_prior(FlowSpec(couplings=3, hidden=(4, 5)), 6)
    assert isinstance(prior, Flow)
    shapes = [tuple(parameter.shape) for parameter in prior.parameters() if parameter.ndim == 2]
    assert shapes == [(4, 3), (5, 4), (6, 5)] * 3


def test_it_is_built_without_memory() -> None:
    with torch.device("meta"):
        prior = Flow(1_000_000, 4, (1_000_000,))
    assert {parameter.device.type for parameter in prior.parameters()} == {"meta"}
    assert [name for name, _ in prior.named_buffers()] == []


def test_a_density_keeps_its_precision_where_the_networks_have_half_of_it() -> None:
    prior, z = flow(8).float(), noise(20, 8).float()
    with torch.autocast("cpu", torch.bfloat16):
        found = prior.log_prob(z)
    assert found.dtype == torch.float32
    assert torch.equal(found, prior.log_prob(z))


def test_one_coupling_stretches_no_number_more_than_e_squared_times() -> None:
    prior = flow(4, couplings=1, scale=1e3)
    jacobian = torch.func.jacrev(prior.to_noise)(noise(4))
    assert 2 <= torch.linalg.slogdet(jacobian).logabsdet.abs() <= 4 + 1e-9  # two numbers change
