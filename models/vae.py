"""The variational autoencoder.

An encoder gives a Gaussian over codes rather than a code, a decoder gives a distribution over images, and the
divergence of the codes from N(0, I) is what lets the decoder alone generate.

Source: Kingma & Welling 2014, "Auto-Encoding Variational Bayes".
"""

from typing import NamedTuple, Self

from pydantic import PositiveInt
from torch import Tensor

from models.autoencoder import Architecture, Autoencoder, Posterior
from models.config import ModelConfig
from models.distributions import bound_log_sigma, kl_to_standard_normal, reparameterize
from models.likelihoods import Likelihood, make_likelihood
from models.networks import MLP


class ElboTerms(NamedTuple):
    """ELBO = log_likelihood - kl.sum(-1), in nats; to be maximised."""

    log_likelihood: Tensor  # (..., N): E over epsilon of log p(x|z), one draw
    kl: Tensor  # (N, Z): KL(q(z|x) || p(z)) of each latent dimension


class VAE(Autoencoder):
    """A variational autoencoder with fully connected networks, which need not mirror each other.

    Args:
        pixels: D, the length of an image as a vector.
        encoder, decoder: the widths of their hidden layers; may be empty, which makes the network linear.
        latents: Z, the length of a code. The encoder ends in 2 Z numbers: Z means, then Z log-sigmas.
        likelihood: p(x|z).
    """

    generative = True

    class Architecture(Architecture):
        encoder: tuple[PositiveInt, ...]
        decoder: tuple[PositiveInt, ...]
        latents: PositiveInt

    def __init__(
        self,
        pixels: int,
        encoder: tuple[int, ...],
        decoder: tuple[int, ...],
        latents: int,
        likelihood: Likelihood,
    ) -> None:
        super().__init__()
        self.pixels, self.latents = pixels, latents
        self.likelihood = likelihood
        self.encoder = MLP((pixels, *encoder, 2 * latents))
        self.decoder = MLP((latents, *decoder, pixels))

    @classmethod
    def from_config(cls, config: ModelConfig) -> Self:
        architecture = cls.Architecture.model_validate(config.architecture)
        return cls(config.pixels, likelihood=make_likelihood(config.likelihood), **architecture.model_dump())

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """q(z|x) of x (..., D) in [0, 1]: mean and log_sigma, each (..., Z)."""
        mean, log_sigma = self.encoder(x).chunk(2, dim=-1)
        return mean, bound_log_sigma(log_sigma)

    def encode(self, x: Tensor) -> Posterior:
        mean, log_sigma = self.posterior(x)
        return Posterior(mean, (2 * log_sigma).exp())

    def decode(self, z: Tensor) -> Tensor:
        return self.likelihood.mean(self.decoder(z))

    def elbo_terms(self, x: Tensor, epsilon: Tensor) -> ElboTerms:
        """The two terms of the evidence lower bound, with the first by Monte Carlo.

        Args:
            x: (N, D) in [0, 1].
            epsilon: standard normal noise, (N, Z), or (K, N, Z) for K draws an image.
        Source: Kingma & Welling 2014, equation 7.
        """
        mean, log_sigma = self.posterior(x)
        z = reparameterize(mean, log_sigma, epsilon)
        return ElboTerms(
            self.likelihood.log_prob(x, self.decoder(z)),
            kl_to_standard_normal(mean, log_sigma),
        )
