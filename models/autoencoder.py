"""What every kind of autoencoder has in common: the seam between models and those who use them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import prod
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Generator, Tensor, nn

from models.config import ModelConfig
from models.errors import NotGenerativeError
from models.likelihoods import Likelihood, make_likelihood
from models.networks import NetworkSpec, ResidualSpec, Shape, make_decoder, make_encoder
from models.priors import Prior, StandardNormal, make_prior
from models.strict import Strict, Width


class Networks(Strict):
    """The architecture of an encoder and a decoder, and the length of the code between them."""

    encoder: NetworkSpec
    decoder: NetworkSpec
    latents: Width


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
    """An encoder and a decoder, which need not mirror each other.

    `generative` says if the codes follow a known distribution, so that the decoder alone, fed with noise, generates.

    Args:
        shape: of an image, (channels, rows, columns); D is their product.
        encoder, decoder: the widths of the hidden layers of an MLP (none: a linear one), or a residual network.
        latents: Z, the length of a code.
        likelihood: p(x|z).
        prior: p(z), N(0, I) if it is left out; a kind that is not generative has none.
    """

    generative: ClassVar[bool]
    closed_form: ClassVar[bool] = False  # if `fit` finds the best weights
    encoded: ClassVar[int]  # how many numbers the encoder gives for each of the Z
    Architecture: ClassVar[type[Strict]] = Networks  # the arguments that rebuild a model of the kind

    def __init__(
        self,
        shape: Shape,
        encoder: Sequence[int] | ResidualSpec,
        decoder: Sequence[int] | ResidualSpec,
        latents: int,
        likelihood: Likelihood,
        prior: Prior | None = None,
    ) -> None:
        super().__init__()
        self.pixels, self.latents = prod(shape), latents
        self.likelihood = likelihood
        self.prior = prior or (StandardNormal() if self.generative else None)
        self.encoder = make_encoder(encoder, shape, self.encoded * latents)
        self.decoder = make_decoder(decoder, shape, latents)

    @classmethod
    def from_config(cls, config: ModelConfig) -> Self:
        """An untrained model.

        Raises: pydantic.ValidationError: if `architecture` does not fit the kind. ValueError: if it does not fit the
            images, the likelihood or the prior.
        """
        options: dict[str, Any] = dict(cls.Architecture.model_validate(config.architecture))
        prior = make_prior(config.prior, options["latents"]) if cls.generative else None
        return cls(config.input_shape, likelihood=make_likelihood(config.likelihood), prior=prior, **options)

    @property
    def device(self) -> torch.device:
        """Where its weights lie."""
        return next(self.parameters()).device

    @abstractmethod
    def encode(self, x: Tensor) -> Posterior:
        """x (N, D) in [0, 1] -> the posterior over z."""

    def decode(self, z: Tensor) -> Tensor:
        """z (N, Z) -> the mean image (N, D) in [0, 1]."""
        return self.likelihood.mean(self.decoder(z))

    @abstractmethod
    def terms(self, x: Tensor, generator: Generator | None = None) -> Terms:
        """The terms of what training maximises, for x (N, D) in [0, 1]; every draw is the generator's."""

    @abstractmethod
    def score(self, x: Tensor, epsilon: Tensor) -> Score:
        """How probable x (N, D) is, each image with the same noise, epsilon (K, Z): none depends on its neighbours."""

    def fit(self, x: Tensor) -> None:
        """Set the weights to those of the greatest likelihood for x (N, D) in [0, 1], without a gradient.

        Raises: ValueError: if x does not determine them. NotImplementedError: if there is no closed form.
        """
        raise NotImplementedError(f"{type(self).__name__} has no closed form")

    def from_noise(self, u: Tensor) -> Tensor:
        """Standard normal noise u (..., Z) -> codes z (..., Z), distributed as the prior has them.

        Raises: NotGenerativeError: if there is no prior; `to_noise` too.
        """
        if self.prior is None:
            raise NotGenerativeError("a deterministic autoencoder has no prior to draw codes from")
        return self.prior.from_noise(u)

    def to_noise(self, z: Tensor) -> Tensor:
        """z (..., Z) -> u (..., Z), the inverse."""
        if self.prior is None:
            raise NotGenerativeError("a deterministic autoencoder has no prior that its codes could follow")
        return self.prior.to_noise(z)

    def reconstruct(self, x: Tensor) -> Tensor:
        """x (N, D) in [0, 1] -> what the model makes of it: the decoded mean of its code, (N, D) in [0, 1].

        A kind that can come nearer does: the linear one projects.
        """
        return self.decode(self.encode(x).mean)
