import math
from collections.abc import Iterable
from typing import Literal

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Normal

from models.config import ModelConfig
from models.deterministic import AE
from models.kinds import build
from models.priors import Flow
from models.recipe import Elbo, Iwae
from models.training.objectives import Bound, bound
from models.vae import VAE
from tests.models.linear_gaussian import gap, linear_gaussian, log_evidence, mixed, some_images
from tests.models.tiny import binary_images, tiny

TOGETHER = 20  # draws of a gradient that share a pass


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def bent() -> Flow:
    """A flow over the codes of `tiny()` that is not the identity."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        flow = Flow(4, 2, (5,))
        for parameter in flow.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return flow


def terms_by_hand(model: VAE, x: Tensor, samples: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """log p(x|z), log p(z) and log q(z|x), each (N,) or (K, N), for the noise of `seeded()`."""
    raw = model.encoder(x)
    q = Normal(raw[:, :4], raw[:, 4:].exp())
    epsilon = torch.randn((3, 4) if samples is None else (samples, 3, 4), generator=seeded())
    z = q.mean + q.stddev * epsilon
    log_likelihood = TorchBernoulli(logits=model.decoder(z)).log_prob(x).sum(-1)
    return log_likelihood, Normal(0.0, 1.0).log_prob(z).sum(-1), q.log_prob(z).sum(-1)


def kl_by_hand(model: VAE, x: Tensor) -> Tensor:
    """KL(q(z|x) || N(0, I)) of each image and latent, (N, Z)."""
    raw = model.encoder(x)
    return torch.distributions.kl_divergence(Normal(raw[:, :4], raw[:, 4:].exp()), Normal(0.0, 1.0))


@pytest.mark.parametrize(("beta", "weight"), [(1.0, 1.0), (4.0, 1.0), (0.0, 1.0), (2.0, 0.25)])
def test_beta_and_the_warm_up_weigh_the_kl_in_the_loss_and_not_in_what_is_told(beta: float, weight: float) -> None:
    model, x = tiny(), binary_images()
    log_likelihood, kl = terms_by_hand(model, x)[0].mean(), kl_by_hand(model, x).sum(-1).mean()
    found = bound(model, x, Elbo(beta=beta), weight, seeded())
    torch.testing.assert_close(found, Bound(weight * beta * kl - log_likelihood, log_likelihood, kl, beta * kl))


def test_free_nats_leave_the_first_nats_of_each_latent_unpriced() -> None:
    model, x = tiny(), binary_images()
    last = model.encoder.layers[-1]
    with torch.no_grad():  # two latents that say much and two that say nearly nothing
        last.weight *= torch.tensor([30.0, 10.0, 0.01, 0.01, 1.0, 1.0, 0.01, 0.01])[:, None]
        last.bias.copy_(torch.tensor([0.1] * 4 + [-0.3] * 4))
    kl = kl_by_hand(model, x).mean(0)
    assert kl[0] > kl[1] > 0.5 > kl[2:].max()
    log_likelihood = terms_by_hand(model, x)[0].mean()
    found = bound(model, x, Elbo(free_nats=0.5), 1.0, seeded())
    torch.testing.assert_close(found.loss, kl[0] + kl[1] + 1.0 - log_likelihood)
    torch.testing.assert_close(found.kl, kl.sum())
    torch.testing.assert_close(found.weighted_kl, kl[0] + kl[1] + 1.0)
    assert kl_by_hand(model, x)[:, 0].min() < 100 < kl[0]  # what counts is the mean over the batch
    torch.testing.assert_close(bound(model, x, Elbo(free_nats=100.0), 1.0, seeded()).weighted_kl, kl[0] + 300.0)
    free, weighted_kl = (
        torch.autograd.grad(bound(model, x, Elbo(free_nats=nats, beta=1e6), 1.0, seeded()).loss, last.bias)[0]
        for nats in (0.5, 0.0)
    )
    # Of a latent within its free nats only the likelihood has a say, which a beta of a million drowns out.
    assert (free[[2, 3, 6, 7]].abs() < 1e-3 * free[[0, 1, 4, 5]].abs().max()).all()
    torch.testing.assert_close(free[[0, 1, 4, 5]], weighted_kl[[0, 1, 4, 5]])
    assert weighted_kl[[6, 7]].abs().min() > 1e4


@pytest.mark.parametrize("samples", [2, 7])
@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_the_importance_weighted_bound_is_the_log_of_the_mean_weight(samples: int, weight: float) -> None:
    model, x = tiny(), binary_images()
    log_likelihood, prior, q = (t.double() for t in terms_by_hand(model, x, samples))
    shift = log_likelihood.max()  # exp(-500) is nothing in any floating point
    weights = (log_likelihood + weight * (prior - q) - shift).exp()
    found = bound(model, x, Iwae(samples=samples), weight, seeded())
    torch.testing.assert_close(found.loss.double(), -(weights.mean(0).log() + shift).mean())
    torch.testing.assert_close(found.log_likelihood.double(), log_likelihood.mean())
    evidence = ((log_likelihood + prior - q - shift).exp().mean(0).log() + shift).mean()
    torch.testing.assert_close((found.log_likelihood - found.kl).double(), evidence, rtol=1e-6, atol=0)


@pytest.mark.parametrize(("shift", "widen"), [(0.2, 0.0), (0.0, 0.7), (-0.3, -0.3)])
def test_more_samples_tighten_the_bound_between_the_elbo_and_the_evidence(shift: float, widen: float) -> None:
    model = linear_gaussian(shift, widen)
    x = some_images(model, 4)
    evidence = log_evidence(model, x).mean().item()
    elbo = evidence - gap(model, x).mean().item()
    previous = elbo
    for samples in (2, 8, 64):
        bounds = torch.stack(
            [-bound(model, x, Iwae(samples=samples), 1.0, seeded(seed)).loss for seed in range(3000 // samples + 200)]
        )
        error = 5 * (bounds.std() / math.sqrt(len(bounds))).item()
        mean = bounds.mean().item()
        assert previous - error < mean < evidence + error
        previous = mean
    assert previous > elbo + 0.5 * (evidence - elbo)


def test_the_importance_weighted_bound_is_exact_where_q_is_the_posterior() -> None:
    model = linear_gaussian()
    x = some_images(model)
    found = bound(model, x, Iwae(samples=2), 1.0, seeded())
    torch.testing.assert_close(-found.loss, log_evidence(model, x).mean())


def gradients(
    model: VAE, x: Tensor, objective: Elbo | Iwae, weight: float, of: Iterable[Tensor], draws: int = 2000
) -> tuple[Tensor, Tensor]:
    """The loss's gradient in some of the model's weights: the mean over so many draws, and its standard error."""
    generator, parameters, passes = seeded(), list(of), draws // TOGETHER
    found = []
    for _ in range(passes):
        loss = bound(model, x.repeat(TOGETHER, 1), objective, weight, generator).loss
        found.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)]))
    return torch.stack(found).mean(0), torch.stack(found).std(0) / math.sqrt(passes)


@pytest.mark.parametrize("weight", [1.0, 0.4])
@pytest.mark.parametrize("proposal", [None, "laplace"])
def test_the_gradient_of_a_few_resampled_samples_is_in_expectation_that_of_all(
    proposal: Literal["laplace"] | None, weight: float
) -> None:
    model, x = tiny(), binary_images()
    # Under a Laplace approximation the encoder's gradient is the ELBO's, which no sample's weight enters.
    weights = list((model.decoder if proposal else model).parameters())
    (of_all, error), (of_few, error_of_few) = (
        gradients(model, x, Iwae(samples=6, resampled=resampled, proposal=proposal), weight, weights)
        for resampled in (None, 2)
    )
    assert (of_all.abs() > 10 * error).float().mean() > 0.2  # what is compared is known well enough to differ
    assert ((of_all - of_few).abs() <= 5 * (error.square() + error_of_few.square()).sqrt() + 1e-6).all()


@pytest.mark.parametrize("prior", ["standard-normal", "flow"])
def test_with_a_laplace_approximation_the_encoder_learns_by_the_elbo_alone(prior: str) -> None:
    model, x = tiny(), binary_images()
    if prior == "flow":
        model.prior = bent()
    weights, weight = list(model.encoder.layers[-1].parameters()), 0.6
    (of_elbo, error), (of_laplace, other_error) = (
        gradients(model, x, objective, weight, weights) for objective in (Elbo(), Iwae(samples=2, proposal="laplace"))
    )
    assert (of_elbo.abs() > 10 * error).float().mean() > 0.2
    assert ((of_elbo - of_laplace).abs() <= 5 * (error.square() + other_error.square()).sqrt() + 1e-6).all()


@pytest.mark.parametrize("shift", [0.0, 0.7, -5.0])
def test_with_a_laplace_approximation_that_is_exact_so_is_the_bound_whatever_the_encoder(shift: float) -> None:
    model = mixed(linear_gaussian(shift, 0.3))
    x = some_images(model)
    found = bound(model, x, Iwae(samples=2, proposal="laplace"), 1.0, seeded())
    torch.testing.assert_close(-found.loss, log_evidence(model, x).mean())


def test_with_a_laplace_approximation_the_decoder_climbs_the_evidence() -> None:
    model = mixed(linear_gaussian(0.7, 0.3)).requires_grad_()
    x = some_images(model).detach()
    weights = list(model.decoder.parameters())
    exact = torch.autograd.grad(-log_evidence(model, x).mean(), weights)
    found, error = gradients(model, x, Iwae(samples=8, proposal="laplace"), 1.0, weights)
    of_posterior, _ = gradients(model, x, Iwae(samples=8), 1.0, weights, 500)
    exact_gradient = torch.cat([g.flatten() for g in exact])
    assert ((found - exact_gradient).abs() <= 5 * error + 1e-6).all()
    assert (found - exact_gradient).norm() < 0.1 * (of_posterior - exact_gradient).norm()


def test_resampling_changes_the_gradient_and_not_what_is_told() -> None:
    model, x = tiny(), binary_images()
    of_all = bound(model, x, Iwae(samples=6), 0.5, seeded())
    torch.testing.assert_close(bound(model, x, Iwae(samples=6, resampled=2), 0.5, seeded()), of_all)


def test_as_many_resampled_as_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="expected fewer resampled than samples, found 5 of 5"):
        Iwae(samples=5, resampled=5)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("proposal", [None, "laplace"])
@pytest.mark.parametrize("resampled", [None, 2])
def test_every_weight_is_reached_in_half_precision_too(
    precision: torch.dtype, proposal: Literal["laplace"] | None, resampled: int | None
) -> None:
    model, x = tiny(), binary_images()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        loss = bound(model, x, Iwae(samples=6, resampled=resampled, proposal=proposal), 1.0, seeded()).loss
    loss.backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.parameters())


@pytest.mark.parametrize(
    "objective", [Elbo(), Elbo(beta=2.0, free_nats=0.01), Iwae(samples=3), Iwae(samples=3, proposal="laplace")]
)
@pytest.mark.parametrize("prior", [{"kind": "standard-normal"}, {"kind": "flow", "couplings": 2, "hidden": [5]}])
def test_the_gradient_reaches_every_weight(objective: Elbo | Iwae, prior: dict[str, object]) -> None:
    config = {
        "kind": "vae",
        "architecture": {"encoder": [16], "latents": 4, "decoder": [12]},
        "likelihood": {"kind": "bernoulli"},
        "prior": prior,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build(ModelConfig.model_validate(config))
        for parameter in model.parameters():  # the flow's zeros too
            torch.nn.init.normal_(parameter, std=0.1)
    bound(model, binary_images(), objective, 1.0, seeded()).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_the_elbo_under_a_flow_is_that_of_its_density() -> None:
    config = {
        "kind": "vae",
        "architecture": {"encoder": [16], "latents": 4, "decoder": [12]},
        "likelihood": {"kind": "bernoulli"},
        "prior": {"kind": "flow", "couplings": 4, "hidden": [8]},
    }
    model, x = build(ModelConfig.model_validate(config)), binary_images()
    assert isinstance(model, VAE)
    model.load_state_dict(tiny().state_dict(), strict=False)
    # Before training the flow's density is N(0, I)'s, and the Monte Carlo KL of the same draws is by hand:
    log_likelihood, prior, q = terms_by_hand(tiny(), x)
    found = bound(model, x, Elbo(), 1.0, seeded())
    torch.testing.assert_close(found.log_likelihood, log_likelihood.mean())
    torch.testing.assert_close(found.kl, (q - prior).mean())
    # With free nats all latents share them.
    free = bound(model, x, Elbo(free_nats=100.0), 1.0, seeded())
    torch.testing.assert_close(free.loss, 100.0 - log_likelihood.mean())
    model.prior = bent()
    raw = model.encoder(x)
    z = raw[:, :4] + raw[:, 4:].exp() * torch.randn(3, 4, generator=seeded())
    torch.testing.assert_close(bound(model, x, Elbo(), 1.0, seeded()).kl, (q - model.prior.log_prob(z)).mean())
    assert (prior - model.prior.log_prob(z)).abs().min() > 0.01


def test_a_deterministic_autoencoder_has_the_one_term() -> None:
    config = {
        "kind": "ae",
        "architecture": {"encoder": [16], "latents": 4, "decoder": [12]},
        "likelihood": {"kind": "bernoulli"},
    }
    model, x = build(ModelConfig.model_validate(config)), binary_images()
    assert isinstance(model, AE)
    found = bound(model, x, Elbo(), 0.5, seeded())
    assert found.kl.item() == 0
    torch.testing.assert_close(
        found.loss, -TorchBernoulli(logits=model.decoder(model.encoder(x))).log_prob(x).sum(-1).mean()
    )
    with pytest.raises(TypeError, match="expected a variational autoencoder, found AE"):
        bound(model, x, Iwae(samples=2), 1.0, seeded())
