"""The linear autoencoder: PCA, with its closed form, served as probabilistic PCA.

With x = W z + mean + sigma * noise and z ~ N(0, I) the posterior is a Gaussian with one covariance for every image. W
is determined only up to a rotation of the codes; here its columns are orthogonal, which makes that covariance diagonal.

Source: Tipping & Bishop 1999, "Probabilistic Principal Component Analysis".
"""

from typing import Self

import torch
from torch import Tensor, nn

from models.autoencoder import Score
from models.config import ModelConfig
from models.distributions import kl_to_standard_normal
from models.likelihoods import LinearGaussian
from models.networks import Shape
from models.strict import Strict, Width
from models.vae import VAE


class LinearVAE(VAE):
    """Probabilistic PCA: the variational autoencoder of linear networks, whose posterior is the exact one.

    Args:
        shape: of an image, (channels, rows, columns); D is their product.
        latents: Z, the number of principal components.
    """

    closed_form = True

    class Architecture(Strict):
        latents: Width

    decoder: nn.Linear  # W, (D, Z), and the mean
    likelihood: LinearGaussian

    def __init__(self, shape: Shape, latents: int) -> None:
        super().__init__(shape, (), (), latents, LinearGaussian())
        if latents >= self.pixels:
            raise ValueError(f"expected fewer latents than the image's {self.pixels} pixels, found {latents}")
        del self.encoder  # the decoder's weights say all of it
        self.decoder = nn.Linear(latents, self.pixels)

    @classmethod
    def from_config(cls, config: ModelConfig) -> Self:
        if config.likelihood.kind != "linear-gaussian":
            raise ValueError(f"expected the likelihood 'linear-gaussian', found {config.likelihood.kind!r}")
        if config.prior.kind != "standard-normal":
            raise ValueError(f"expected the prior 'standard-normal', found {config.prior.kind!r}")
        return cls(config.input_shape, cls.Architecture.model_validate(config.architecture).latents)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Source: Tipping & Bishop 1999, section 3.1, with M diagonal."""
        projected, m = self._project(x)
        variance = (2 * self.likelihood.log_sigma).exp() / m
        return projected / m, (variance.log() / 2).expand_as(projected)

    def score(self, x: Tensor, epsilon: Tensor) -> Score:  # noqa: ARG002  nothing is drawn
        """The terms of the ELBO, exactly; their sum is log p(x), for the posterior is the true one.

        Of |x - W z - mean|² the expectation is that at the posterior's mean, and the trace of W's and its covariance.
        """
        mean, log_sigma = self.posterior(x)
        spread = (2 * (log_sigma - self.likelihood.log_sigma)).exp() * self.decoder.weight.square().sum(0)
        log_likelihood = self.likelihood.log_prob(x, self.decoder(mean)) - spread.sum(-1) / 2
        return Score(log_likelihood, kl_to_standard_normal(mean, log_sigma).sum(-1))

    def reconstruct(self, x: Tensor) -> Tensor:
        """The orthogonal projection on the principal subspace: of all linear reconstructions the nearest.

        The posterior's mean is drawn towards the prior's, and what it decodes to is not this.
        Source: Tipping & Bishop 1999, section 3.3.
        """
        return self.likelihood.mean(self.project(x))

    def project(self, x: Tensor) -> Tensor:
        """PCA's reconstruction of x (N, D), which may leave [0, 1]: (N, D)."""
        projected, _ = self._project(x)
        image: Tensor = self.decoder(projected / self.decoder.weight.square().sum(0))
        return image

    def fit(self, x: Tensor) -> None:
        """Set the weights to those of the greatest likelihood for x (N, D): no gradient, one eigendecomposition.

        Raises: ValueError: if x varies in no more directions than there are latents, or as much in those left out.
        Source: Tipping & Bishop 1999, section 3.2, with R = I.
        """
        x = x.double()
        mean = x.mean(0)
        eigenvalues, eigenvectors = torch.linalg.eigh(torch.cov(x.T, correction=0))  # ascending
        rounding = self.pixels * torch.finfo(x.dtype).eps * eigenvalues[-1]
        if (directions_found := int((eigenvalues > rounding).sum())) <= self.latents:
            raise ValueError(
                f"expected images that vary in more than {self.latents} directions, which are the latents, "
                f"found {directions_found}"
            )
        variance = eigenvalues[: -self.latents].mean()  # what is left out, spread over the directions left out
        if eigenvalues[-self.latents] - variance <= rounding:
            raise ValueError(
                f"expected images that vary more along {self.latents} directions, which are the latents, than along "
                "the others, found no difference"
            )
        scale = (eigenvalues[-self.latents :].flip(0) - variance).sqrt()
        directions = eigenvectors[:, -self.latents :].flip(1)
        darker = directions.sum(0) < 0
        directions = torch.where(darker, -directions, directions)  # of the two signs the one with a brighter image
        with torch.no_grad():
            self.decoder.weight.copy_(directions * scale)
            self.decoder.bias.copy_(mean)
            self.likelihood.log_sigma.copy_(variance.log() / 2)

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Wᵀ(x - mean), (..., Z), and the diagonal of M = WᵀW + sigma² I, (Z,)."""
        weight = self.decoder.weight
        m = weight.square().sum(0) + (2 * self.likelihood.log_sigma).exp()
        return (x - self.decoder.bias) @ weight, m
