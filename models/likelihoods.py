"""p(x|z): how the decoder's output is read as a distribution over images."""

import math
from typing import Annotated, Literal, Protocol

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from models.distributions import gaussian_log_density
from models.strict import Number, Strict


class BernoulliSpec(Strict):
    """Every pixel is a coin whose logit the decoder gives."""

    kind: Literal["bernoulli"] = "bernoulli"


class GaussianSpec(Strict):
    """Every pixel, scaled to [-1, 1], is Gaussian around the decoder's tanh, with one stated scale."""

    kind: Literal["gaussian"] = "gaussian"
    sigma: Annotated[Number, Field(gt=0, le=10)]


class LinearGaussianSpec(Strict):
    """Every pixel is Gaussian around the decoder's output itself, all with one scale, which is fitted."""

    kind: Literal["linear-gaussian"] = "linear-gaussian"


LikelihoodSpec = Annotated[BernoulliSpec | GaussianSpec | LinearGaussianSpec, Field(discriminator="kind")]


class Likelihood(Protocol):
    """What an autoencoder needs of p(x|z); `output` is the decoder's last layer, (..., D).

    Densities are computed in the precision of x also where the networks run in half of it: each is the sum of many
    small terms.
    """

    def log_prob(self, x: Tensor, output: Tensor) -> Tensor:
        """log p(x|z) of x (..., D) in [0, 1], summed over pixels: (...) in nats."""

    def mean(self, output: Tensor) -> Tensor:
        """E[x|z] as an image: (..., D) in [0, 1]."""


class Bernoulli:
    """Pixels in {0, 1} (or in [0, 1], read as the expectation over binarizations); the output is a logit.

    Source: Kingma & Welling 2014, appendix C.1.
    """

    def log_prob(self, x: Tensor, output: Tensor) -> Tensor:
        # x·logit - log(1 + exp(logit)): finite for every finite logit, and so is its gradient x - sigmoid(logit).
        with torch.autocast(output.device.type, enabled=False):
            output = output.to(x.dtype)
            agreement: Tensor = torch.linalg.vecdot(x, output)
            return agreement - F.softplus(output).sum(-1)

    def mean(self, output: Tensor) -> Tensor:
        return output.sigmoid()


class Gaussian:
    """Pixels scaled to [-1, 1], Gaussian around tanh(output) with a fixed sigma.

    The density is that of the scaled pixels; for pixels in [0, 1] add log 2 a pixel.
    Source: Kingma & Welling 2014, appendix C.2, with sigma held fixed.
    """

    def __init__(self, sigma: float) -> None:
        self.sigma = sigma

    def log_prob(self, x: Tensor, output: Tensor) -> Tensor:
        with torch.autocast(output.device.type, enabled=False):
            residual = ((2 * x - 1) - output.to(x.dtype).tanh()) / self.sigma
            return (-0.5 * residual.square() - math.log(self.sigma) - 0.5 * math.log(2 * math.pi)).sum(-1)

    def mean(self, output: Tensor) -> Tensor:
        return (output.tanh() + 1) / 2


class LinearGaussian(nn.Module):
    """Pixels Gaussian around the output, with a sigma that is one of the model's weights.

    The density is that of the pixels in [0, 1]. Under a linear decoder it is that of probabilistic PCA.
    Source: Tipping & Bishop 1999, "Probabilistic Principal Component Analysis", section 3.1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_sigma = nn.Parameter(torch.zeros(()))

    def log_prob(self, x: Tensor, output: Tensor) -> Tensor:
        with torch.autocast(output.device.type, enabled=False):
            return gaussian_log_density(x, output.to(x.dtype), self.log_sigma)

    def mean(self, output: Tensor) -> Tensor:
        return output.clamp(0, 1)


def make_likelihood(spec: BernoulliSpec | GaussianSpec | LinearGaussianSpec) -> Likelihood:
    """The likelihood that a configuration names."""
    match spec:
        case GaussianSpec():
            return Gaussian(spec.sigma)
        case LinearGaussianSpec():
            return LinearGaussian()
        case _:
            return Bernoulli()
