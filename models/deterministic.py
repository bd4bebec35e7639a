"""Deterministic autoencoders: they compress, and clean of noise, but do not generate.

Nothing controls how their codes are distributed, so noise through the decoder is no sample of anything.
"""

from typing import Annotated, Any, Self

import torch
from pydantic import Field, model_validator
from torch import Generator, Tensor

from models.autoencoder import Autoencoder, Networks, Posterior, Score, Terms
from models.config import ModelConfig
from models.priors import StandardNormalSpec
from models.strict import Number, Strict


class AE(Autoencoder):
    """The vanilla autoencoder: one code for an image, and an image for a code.

    The logarithm of its likelihood is the loss: cross-entropy for a Bernoulli, squared error for a Gaussian.
    """

    generative = False
    encoded = 1

    @classmethod
    def from_config(cls, config: ModelConfig) -> Self:
        if config.prior != StandardNormalSpec():
            raise ValueError(f"a deterministic autoencoder has no prior to choose, found {config.prior.kind!r}")
        return super().from_config(config)

    def encode(self, x: Tensor) -> Posterior:
        return Posterior(self.encoder(x).to(x.dtype), None)

    def terms(self, x: Tensor, generator: Generator | None = None) -> Terms:  # noqa: ARG002  there is nothing to draw
        return self._reconstruction(x, x)

    def score(self, x: Tensor, epsilon: Tensor) -> Score:  # noqa: ARG002  there is nothing to draw
        return Score(self._reconstruction(x, x).log_likelihood, None)

    def _reconstruction(self, x: Tensor, seen: Tensor) -> Terms:
        """The terms of x given the code of what the encoder has seen of it."""
        log_likelihood = self.likelihood.log_prob(x, self.decoder(self.encode(seen).mean))
        return Terms(log_likelihood, x.new_zeros(len(x), 0))


class Corruption(Strict):
    """The noise that a denoising autoencoder learns to take away: of each image one of the two, in a drawn strength."""

    gaussian: Annotated[Number, Field(ge=0, le=10)] = 0.0  # the largest sigma, pixels in [0, 1]
    masking: Annotated[Number, Field(ge=0, le=1)] = 0.0  # the largest share of pixels set to 0

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.gaussian and not self.masking:
            raise ValueError("expected gaussian or masking noise above 0, found neither")
        return self

    def apply(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        """x (N, D) in [0, 1] -> a corrupted copy, in [0, 1]."""
        drawn = torch.rand(3, len(x), 1, generator=generator).to(x.device)
        sigma, share = self.gaussian * drawn[0], self.masking * drawn[1]
        noisy = (x + sigma * torch.randn(x.shape, generator=generator).to(x.device)).clamp(0, 1)
        masked = x * (torch.rand(x.shape, generator=generator).to(x.device) >= share)
        if not self.masking:
            return noisy
        return torch.where(drawn[2] < 0.5, noisy, masked) if self.gaussian else masked


class DAE(AE):
    """The denoising autoencoder: it sees a corrupted image and learns to give back the clean one.

    Source: Vincent et al. 2010, "Stacked Denoising Autoencoders", section 3.
    """

    class Architecture(Networks):
        corruption: Corruption

    def __init__(self, *arguments: Any, corruption: Corruption, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.corruption = corruption

    def terms(self, x: Tensor, generator: Generator | None = None) -> Terms:
        return self._reconstruction(x, self.corruption.apply(x, generator))
