"""Gaussians: the posterior q(z|x), the prior p(z), and what is computed between them."""

import math
from typing import NamedTuple, Self

import torch
from torch import Tensor

from models.errors import ShapeError

# Beyond these sigma = exp(log_sigma) or its square would overflow float32, or its logarithm mean nothing.
# exp(-15) = 3e-7 and exp(10) = 22,026: no trained posterior comes near either.
LOG_SIGMA_MIN, LOG_SIGMA_MAX = -15.0, 10.0


def bound_log_sigma(log_sigma: Tensor) -> Tensor:
    """log_sigma kept to the range in which every density and divergence here is finite; any shape.

    Inside the range it is the identity, so that sigma = exp(log_sigma) is what the network says.
    """
    return log_sigma.clamp(LOG_SIGMA_MIN, LOG_SIGMA_MAX)


def reparameterize(mean: Tensor, log_sigma: Tensor, epsilon: Tensor) -> Tensor:
    """z = mean + sigma * epsilon, differentiable in mean and log_sigma.

    Args:
        mean, log_sigma: (..., N, Z) float32.
        epsilon: standard normal noise, broadcastable to the same shape; (K, N, Z) gives K draws.
    Returns: z, in the broadcast shape.
    Source: Kingma & Welling 2014, section 2.4.
    """
    return mean + log_sigma.exp() * epsilon


def kl_to_standard_normal(mean: Tensor, log_sigma: Tensor) -> Tensor:
    """KL(q(z|x) || N(0, I)) of each latent dimension; sum over the last for the whole divergence.

    Args:
        mean, log_sigma: (..., Z) float32.
    Returns: (..., Z) in nats, never negative but for rounding.
    Raises: ShapeError: if the two differ in shape.
    Source: Kingma & Welling 2014, appendix B.
    """
    if mean.shape != log_sigma.shape:
        raise ShapeError(f"mean is {tuple(mean.shape)} and log_sigma {tuple(log_sigma.shape)}: they must agree")
    # expm1(2 s) - 2 s loses nothing near s = 0, where exp(2 s) - 1 - 2 s would cancel.
    return 0.5 * (mean.square() + torch.expm1(2 * log_sigma) - 2 * log_sigma)


def gaussian_log_density(z: Tensor, mean: Tensor | float = 0.0, log_sigma: Tensor | float = 0.0) -> Tensor:
    """log N(z; mean, sigma² I), summed over the last dimension.

    Args:
        z: (..., Z). mean, log_sigma: broadcastable to it; left out, the standard normal.
    Returns: (...) in nats.
    """
    log_sigma = torch.as_tensor(log_sigma, dtype=z.dtype, device=z.device)
    standardized = (z - mean) * torch.exp(-log_sigma)
    return (-0.5 * (standardized.square() + math.log(2 * math.pi)) - log_sigma).sum(-1)


class DiagonalGaussian(NamedTuple):
    """Gaussians over codes, one an image, whose latents are independent."""

    mean: Tensor  # (N, Z)
    log_sigma: Tensor  # (N, Z)

    def draw(self, epsilon: Tensor) -> Tensor:
        """Codes (K, N, Z) of standard normal noise (K, N, Z), differentiable in the parameters."""
        return reparameterize(self.mean, self.log_sigma, epsilon)

    def log_prob(self, z: Tensor) -> Tensor:
        """The log density at codes (K, N, Z): (K, N), in nats."""
        return gaussian_log_density(z, self.mean, self.log_sigma)

    def detach(self) -> Self:
        """The same, without a gradient."""
        return type(self)(self.mean.detach(), self.log_sigma.detach())


class FullGaussian(NamedTuple):
    """Gaussians over codes, one an image, with covariances between the latents."""

    mean: Tensor  # (N, Z)
    factor: Tensor  # (N, Z, Z), the lower Cholesky factors of the covariances

    def draw(self, epsilon: Tensor) -> Tensor:
        """Codes (K, N, Z) of standard normal noise (K, N, Z), differentiable in the parameters."""
        with torch.autocast(epsilon.device.type, enabled=False):  # half a precision is too little for a code
            offset = self.factor @ epsilon.permute(1, 2, 0)
        return self.mean + offset.permute(2, 0, 1)

    def log_prob(self, z: Tensor) -> Tensor:
        """The log density at codes (K, N, Z): (K, N), in nats."""
        offset = (z - self.mean).permute(1, 2, 0)  # (N, Z, K)
        noise: Tensor = torch.linalg.solve_triangular(self.factor, offset, upper=False)
        log_determinant = self.factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return -0.5 * (noise.square().sum(1).mT + z.shape[-1] * math.log(2 * math.pi)) - log_determinant

    def detach(self) -> Self:
        """The same, without a gradient."""
        return type(self)(self.mean.detach(), self.factor.detach())
