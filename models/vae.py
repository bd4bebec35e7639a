"""The variational autoencoder.

An encoder gives a Gaussian over codes rather than a code, a decoder gives a distribution over images, and the
divergence of the codes from a known prior is what lets the decoder alone generate.

Source: Kingma & Welling 2014, "Auto-Encoding Variational Bayes".
"""

import torch
from torch import Generator, Tensor

from models.autoencoder import Autoencoder, Posterior, Score, Terms
from models.distributions import (
    DiagonalGaussian,
    FullGaussian,
    bound_log_sigma,
    gaussian_log_density,
    kl_to_standard_normal,
    reparameterize,
)
from models.priors import Prior, StandardNormal


class VAE(Autoencoder):
    """A variational autoencoder: its encoder ends in 2 Z numbers, Z means, then Z log-sigmas."""

    generative = True
    encoded = 2

    prior: Prior

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """q(z|x) of x (..., D) in [0, 1]: mean and log_sigma, each (..., Z)."""
        mean, log_sigma = self.encoder(x).to(x.dtype).chunk(2, dim=-1)
        return mean, bound_log_sigma(log_sigma)

    def encode(self, x: Tensor) -> Posterior:
        mean, log_sigma = self.posterior(x)
        return Posterior(mean, (2 * log_sigma).exp())

    def terms(self, x: Tensor, generator: Generator | None = None) -> Terms:
        return self.elbo_terms(x, self.draw_epsilon(x, generator))

    def score(self, x: Tensor, epsilon: Tensor) -> Score:
        terms = self.elbo_terms(x, epsilon[:, None])
        kl = terms.kl.sum(-1)
        return Score(terms.log_likelihood.mean(0), kl if kl.ndim == 1 else kl.mean(0))

    def draw_epsilon(self, x: Tensor, generator: Generator | None = None, samples: int | None = None) -> Tensor:
        """Standard normal noise to reparameterize with: (N, Z), or (K, N, Z) for K samples."""
        shape = (len(x), self.latents) if samples is None else (samples, len(x), self.latents)
        return torch.randn(shape, generator=generator, dtype=x.dtype).to(x.device)

    def elbo_terms(self, x: Tensor, epsilon: Tensor) -> Terms:
        """The two terms of the evidence lower bound, with the first by Monte Carlo.

        The KL is exact, latent by latent, under N(0, I); under another prior it is by Monte Carlo too, in one group.

        Args:
            x: (N, D) in [0, 1].
            epsilon: standard normal noise, (N, Z), or (K, N, Z) for K draws an image.
        Source: Kingma & Welling 2014, equation 7.
        """
        mean, log_sigma = self.posterior(x)
        z = reparameterize(mean, log_sigma, epsilon)
        log_likelihood = self.likelihood.log_prob(x, self.decoder(z))
        if isinstance(self.prior, StandardNormal):
            return Terms(log_likelihood, kl_to_standard_normal(mean, log_sigma))
        kl = gaussian_log_density(z, mean, log_sigma) - self.prior.log_prob(z)
        return Terms(log_likelihood, kl[..., None])

    def log_joint(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x, z) of x (N, D) in [0, 1] and z (K, N, Z): (K, N) in nats."""
        log_joint: Tensor = self.likelihood.log_prob(x, self.decoder(z)) + self.prior.log_prob(z)
        return log_joint

    def log_weight_terms(
        self, x: Tensor, z: Tensor, proposal: DiagonalGaussian | FullGaussian
    ) -> tuple[Tensor, Tensor]:
        """log p(x|z) and log p(z) - log r(z), of z from a proposal r; their sum is an importance weight.

        The mean of the sums bounds log p(x) from below, and log mean exp does so more tightly.

        Args:
            x: (N, D) in [0, 1].
            z: (K, N, Z), drawn from the proposal, as a rule the posterior q(z|x).
        Returns: two tensors (K, N), in nats.
        Source: Burda, Grosse & Salakhutdinov 2016, "Importance Weighted Autoencoders", equation 8.
        """
        log_ratio = self.prior.log_prob(z) - proposal.log_prob(z)
        return self.likelihood.log_prob(x, self.decoder(z)), log_ratio
