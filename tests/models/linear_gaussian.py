"""A model whose evidence has a closed form, to hold the estimators against.

p(z) = N(0, I) and p(x|z) = N(Wz + b, s² I) give p(x) = N(b, WWᵀ + s² I). Where W's columns are orthogonal the posterior
p(z|x) is a diagonal Gaussian, so that a VAE without hidden layers can hold it exactly.
"""

import math

import torch
from torch import Tensor
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from models.vae import VAE

PIXELS, LATENTS, SCALE = 12, 3, 0.4


class LinearGaussian:
    """The likelihood N(output, s² I) of pixels that may be any number."""

    def log_prob(self, x: Tensor, output: Tensor) -> Tensor:
        return Normal(output, SCALE).log_prob(x).sum(-1)

    def mean(self, output: Tensor) -> Tensor:
        return output


def linear_gaussian(shift: float = 0.0, widen: float = 0.0) -> VAE:
    """A VAE, in float64, whose q is the exact posterior with its mean shifted and its log_sigma widened."""
    generator = torch.Generator().manual_seed(0)
    basis, _ = torch.linalg.qr(torch.randn(PIXELS, LATENTS, generator=generator, dtype=torch.float64))
    weight = basis * torch.tensor([0.3, 1.0, 2.5])  # (D, Z), its columns orthogonal
    bias = torch.randn(PIXELS, generator=generator, dtype=torch.float64)
    variance = 1 / (1 + weight.square().sum(0) / SCALE**2)  # (Z,)
    project = variance[:, None] * weight.T / SCALE**2  # x - b -> the posterior's mean
    model = VAE((PIXELS,), (), (), LATENTS, LinearGaussian()).double().requires_grad_(False)
    model.load_state_dict(
        {
            "encoder.layers.0.weight": torch.cat([project, torch.zeros(LATENTS, PIXELS)]),
            "encoder.layers.0.bias": torch.cat([shift - project @ bias, variance.log() / 2 + widen]),
            "decoder.layers.0.weight": weight,
            "decoder.layers.0.bias": bias,
        }
    )
    return model


def mixed(model: VAE) -> VAE:
    """The same evidence with rotated codes, whose exact posterior is no longer diagonal, as q still is."""
    generator = torch.Generator().manual_seed(2)
    rotation, _ = torch.linalg.qr(torch.randn(LATENTS, LATENTS, generator=generator, dtype=torch.float64))
    encoder, decoder = model.encoder.layers[0], model.decoder.layers[0]
    for of_mean in (encoder.weight[:LATENTS], encoder.bias[:LATENTS]):
        of_mean.copy_(rotation.T @ of_mean)
    decoder.weight.copy_(decoder.weight @ rotation)
    return model


def some_images(model: VAE, count: int = 5) -> Tensor:
    """Drawn from the model: (N, D)."""
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(count, LATENTS, generator=generator, dtype=torch.float64)
    return model.decode(z) + SCALE * torch.randn(count, PIXELS, generator=generator, dtype=torch.float64)


def log_evidence(model: VAE, x: Tensor) -> Tensor:
    """log p(x), exactly: (N,) in nats."""
    weight, bias = model.decoder.layers[0].weight, model.decoder.layers[0].bias
    covariance = weight @ weight.T + SCALE**2 * torch.eye(PIXELS, dtype=torch.float64)
    return MultivariateNormal(bias, covariance).log_prob(x)


def gap(model: VAE, x: Tensor) -> Tensor:
    """KL(q(z|x) || p(z|x)), exactly: what the ELBO is below the evidence, (N,) in nats."""
    (mean, variance), (exact_mean, exact_variance) = model.encode(x), linear_gaussian().encode(x)
    q = Independent(Normal(mean, variance.sqrt()), 1)
    return kl_divergence(q, Independent(Normal(exact_mean, exact_variance.sqrt()), 1))


def sigma_points() -> Tensor:
    """2 Z points with the mean 0 and the covariance I: their mean of any quadratic is its expectation. (2 Z, 1, Z)"""
    points = math.sqrt(LATENTS) * torch.eye(LATENTS, dtype=torch.float64)
    return torch.cat([points, -points])[:, None]
