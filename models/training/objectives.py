"""What training maximises: a lower bound on log p(x), or a variation on it."""

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from models.autoencoder import Autoencoder
from models.distributions import DiagonalGaussian, FullGaussian
from models.laplace import laplace_approximation
from models.recipe import Elbo, Iwae
from models.vae import VAE

CODES = 512  # decoded at once where no gradient is wanted: what is computed of them stays near the core


class Bound(NamedTuple):
    """An objective on a batch, in nats an image."""

    loss: Tensor  # (), to be minimised
    log_likelihood: Tensor  # (), the mean of log p(x|z)
    kl: Tensor  # (), what the bound takes off it: log_likelihood - kl is the bound
    weighted_kl: Tensor  # (), the same as the objective prices it, after any warm-up


def bound(model: Autoencoder, x: Tensor, objective: Elbo | Iwae, kl_weight: float, generator: Generator) -> Bound:
    """The objective for x (N, D), with the KL weighted by `kl_weight` besides, and noise from the generator.

    Raises: TypeError: if the importance-weighted bound is asked of a model without a posterior to weight by.
    """
    if isinstance(objective, Iwae):
        return _importance_weighted(model, x, objective, kl_weight, generator)
    terms = model.terms(x, generator)
    log_likelihood = terms.log_likelihood.mean()
    kl = terms.kl.mean(0)  # (G,), the mean over the batch
    weighted_kl = objective.beta * (kl.clamp_min(objective.free_nats) if objective.free_nats else kl).sum()
    return Bound(kl_weight * weighted_kl - log_likelihood, log_likelihood, kl.sum(), weighted_kl)


def _importance_weighted(
    model: Autoencoder, x: Tensor, objective: Iwae, kl_weight: float, generator: Generator
) -> Bound:
    if not isinstance(model, VAE):
        raise TypeError(f"expected a variational autoencoder, found {type(model).__name__}")
    learning = torch.is_grad_enabled()
    samples, resampled = objective.samples, objective.resampled if learning else None
    posterior = DiagonalGaussian(*model.posterior(x))
    proposal = _laplace(model, x) if objective.proposal else posterior
    z = proposal.draw(model.draw_epsilon(x, generator, samples))
    # Without a gradient to keep for, a few at a time.
    parts = z.split(max(1, CODES // len(x)) if resampled or not learning else samples)
    with torch.set_grad_enabled(learning and resampled is None):
        terms = [model.log_weight_terms(x, part, proposal) for part in parts]
        log_likelihood, log_ratio = (torch.cat(both) for both in zip(*terms, strict=True))
        log_weights = log_likelihood + kl_weight * log_ratio  # (K, N)
        weighted = log_weights.logsumexp(0)
        unweighted = weighted if kl_weight == 1 else (log_likelihood + log_ratio).logsumexp(0)
    evidence = (unweighted - math.log(samples)).mean()
    loss = math.log(samples) - weighted.mean()
    if resampled is not None:
        torch.clear_autocast_cache()  # the weights that it holds in half precision have no gradient
        weights = log_weights.softmax(0)
        chosen = _systematic(weights, resampled, generator)
        z = z.gather(0, chosen[..., None].expand(-1, -1, model.latents))
        loss = _with_gradient_of(_surrogate(model, x, z, proposal, weights.gather(0, chosen), kl_weight), loss)
    if objective.proposal and learning:
        loss = _with_gradient_of(_of_encoder(model, x, posterior, kl_weight, generator), loss)
    kl = log_likelihood.mean() - evidence
    return Bound(loss, log_likelihood.mean(), kl, kl)


def _with_gradient_of(surrogate: Tensor, loss: Tensor) -> Tensor:
    """The loss, whose gradient has the surrogate's added to it."""
    return loss + surrogate - surrogate.detach()


def _laplace(model: VAE, x: Tensor) -> FullGaussian:
    """The Laplace approximation for x (N, D), a few images at a time, without a gradient."""
    parts = [laplace_approximation(model, part) for part in x.split(max(1, CODES // (1 + model.latents)))]
    torch.clear_autocast_cache()
    return FullGaussian(*(torch.cat(both) for both in zip(*parts, strict=True)))


def _of_encoder(model: VAE, x: Tensor, posterior: DiagonalGaussian, kl_weight: float, generator: Generator) -> Tensor:
    """A scalar with the gradient of the -ELBO in the encoder's weights, and none in any others."""
    z = posterior.draw(model.draw_epsilon(x, generator))
    at = z.detach().requires_grad_()
    log_joint = model.likelihood.log_prob(x, model.decoder(at)) + kl_weight * model.prior.log_prob(at)
    (slope,) = torch.autograd.grad(log_joint.sum(), at)
    return -((z * slope).sum(-1) + kl_weight * posterior.log_sigma.sum(-1)).mean()


def _systematic(weights: Tensor, count: int, generator: Generator) -> Tensor:
    """Which of the K, (count, N), drawn in proportion to weights (K, N) of sum 1 by systematic resampling.

    Source: Kitagawa 1996, "Monte Carlo Filter and Smoother for Non-Gaussian Nonlinear State Space Models", appendix.
    """
    start = torch.rand(weights.shape[1:], generator=generator, dtype=weights.dtype).to(weights.device)
    places = (torch.arange(count, device=weights.device)[:, None] + start) / count  # (count, N)
    return (weights.cumsum(0)[:, None] < places).sum(0).clamp_max(len(weights) - 1)


def _surrogate(
    model: VAE, x: Tensor, z: Tensor, proposal: DiagonalGaussian | FullGaussian, weights: Tensor, kl_weight: float
) -> Tensor:
    """A scalar of the gradient that the loss has in expectation, from samples drawn in proportion to their weights.

    The gradient of a posterior passes through z alone, scaled by the sample's weight, which the doubly reparameterized
    estimator shows to be the same with less variance; under a KL weight b the scale is 1 - b + b w.

    Args:
        z: (M, N, Z), the samples. weights: (M, N), their normalized weights among the K.
    Source: Tucker, Lawson, Gu & Maddison 2019, "Doubly Reparameterized Gradient Estimators", equation 8.
    """
    if z.requires_grad:
        scale = (1 - kl_weight + kl_weight * weights)[..., None]
        z.register_hook(lambda gradient: gradient * scale)
    log_likelihood, log_ratio = model.log_weight_terms(x, z, proposal.detach())
    return -(log_likelihood + kl_weight * log_ratio).mean()
