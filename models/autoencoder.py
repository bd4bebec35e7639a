"""What every kind of autoencoder has in common: the seam between models and those who use them."""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple, Self

from torch import Generator, Tensor, nn

from models.config import ModelConfig
from models.errors import NotGenerativeError
from models.likelihoods import Likelihood
from models.strict import Strict


class Architecture(Strict):
    """The arguments that rebuild a network; each kind has its own."""


class Posterior(NamedTuple):
    """q(z|x) = N(mean, diag(variance)); a deterministic autoencoder has no variance."""

    mean: Tensor  # (N, Z)
    variance: Tensor | None  # (N, Z)


class Terms(NamedTuple):
    """The two terms of the evidence lower bound: ELBO = log_likelihood - kl.sum(-1), in nats; to be maximised.

    A deterministic autoencoder has the first alone: its `kl` has no columns.
    """

    log_likelihood: Tensor  # (..., N): log p(x|z) of a code z of x
    kl: Tensor  # (..., N, G): KL(q(z|x) || p(z)) of each group of latents that is independent under the prior


class Score(NamedTuple):
    """How probable a model finds images, in nats each."""

    log_likelihood: Tensor  # (N,): E[log p(x|z)] under q(z|x), or of the one code of a deterministic autoencoder
    kl: Tensor | None  # (N,): KL(q(z|x) || p(z)); a deterministic autoencoder has none

    @property
    def surprise(self) -> Tensor:
        """-ELBO, or -log p(x|z) of a deterministic autoencoder: (N,), larger for what is less like the data."""
        return -self.log_likelihood if self.kl is None else self.kl - self.log_likelihood


class Autoencoder(nn.Module, ABC):
    """An encoder and a decoder.

    `generative` says if the codes follow a known distribution, so that the decoder alone, fed with noise, generates.
    """

    generative: ClassVar[bool]
    Architecture: ClassVar[type[Architecture]]

    pixels: int  # D
    latents: int  # Z
    likelihood: Likelihood

    @classmethod
    @abstractmethod
    def from_config(cls, config: ModelConfig) -> Self:
        """An untrained model.

        Raises: pydantic.ValidationError: if `architecture` does not fit the kind. ValueError: if it does not fit the
            images, the likelihood or the prior.
        """

    @abstractmethod
    def encode(self, x: Tensor) -> Posterior:
        """x (N, D) in [0, 1] -> the posterior over z."""

    @abstractmethod
    def decode(self, z: Tensor) -> Tensor:
        """z (N, Z) -> the mean image (N, D) in [0, 1]."""

    @abstractmethod
    def terms(self, x: Tensor, generator: Generator | None = None) -> Terms:
        """The terms of what training maximises, for x (N, D) in [0, 1]; every draw is the generator's."""

    @abstractmethod
    def score(self, x: Tensor, epsilon: Tensor) -> Score:
        """How probable x (N, D) is, each image with the same noise, epsilon (K, Z): none depends on its neighbours."""

    def from_noise(self, u: Tensor) -> Tensor:  # noqa: ARG002  there is nothing to turn it into
        """Standard normal noise u (..., Z) -> codes z (..., Z), distributed as the prior has them.

        Raises: NotGenerativeError: if there is no prior; `to_noise` too.
        """
        raise NotGenerativeError("a deterministic autoencoder has no prior to draw codes from")

    def to_noise(self, z: Tensor) -> Tensor:  # noqa: ARG002
        """z (..., Z) -> u (..., Z), the inverse."""
        raise NotGenerativeError("a deterministic autoencoder has no prior that its codes could follow")

    def reconstruct(self, x: Tensor) -> Tensor:
        """x (N, D) in [0, 1] -> what the model makes of it: the decoded mean of its code, (N, D) in [0, 1]."""
        return self.decode(self.encode(x).mean)
