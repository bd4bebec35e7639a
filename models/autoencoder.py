"""What every kind of autoencoder has in common: the seam between models and those who use them."""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple, Self

from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from models.config import ModelConfig


class Architecture(BaseModel):
    """The arguments that rebuild a network; each kind has its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Posterior(NamedTuple):
    """q(z|x) = N(mean, diag(variance)); a deterministic autoencoder has no variance."""

    mean: Tensor  # (N, Z)
    variance: Tensor | None  # (N, Z)


class Autoencoder(nn.Module, ABC):
    """An encoder and a decoder.

    `generative` says if the codes follow a known distribution, so that the decoder alone, fed with noise, generates.
    """

    generative: ClassVar[bool]
    Architecture: ClassVar[type[Architecture]]

    latents: int

    @classmethod
    @abstractmethod
    def from_config(cls, config: ModelConfig) -> Self:
        """An untrained model. Raises: pydantic.ValidationError: if `architecture` does not fit the kind."""

    @abstractmethod
    def encode(self, x: Tensor) -> Posterior:
        """x (N, D) in [0, 1] -> the posterior over z."""

    @abstractmethod
    def decode(self, z: Tensor) -> Tensor:
        """z (N, Z) -> the mean image (N, D) in [0, 1]."""
