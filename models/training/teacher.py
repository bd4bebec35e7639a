"""A posterior for training alone: nearer to p(z|x) than an encoder that must be fast to serve can be.

What an encoder's posterior lacks is taken out of the decoder, which is trained to make codes easy to infer. A teacher
is a larger network with covariances between the latents. The decoder learns from its codes; the encoder learns its
posterior, from the divergence between the two, which is exact and decodes nothing.

Source: Cremer, Li & Duvenaud 2018, "Inference Suboptimality in Variational Autoencoders".
"""

import torch
from pydantic import NonNegativeInt
from torch import Tensor, nn

from models.distributions import FullGaussian, bound_log_sigma
from models.networks import NetworkSpec, Shape, make_encoder
from models.strict import Strict


class TeacherSpec(Strict):
    """The network between an image and the teacher's posterior, and when it begins to teach."""

    encoder: NetworkSpec
    head_start_steps: NonNegativeInt = 0  # which leave the decoder and the prior alone: it has to find their codes


class Teacher(nn.Module):
    """q(z|x) = N(mean, L L^T), with L = diag(sigma) (I + A), A strictly lower triangular.

    The network's last layer gives Z means, Z log-sigmas, and the Z (Z - 1) / 2 numbers of A, row by row.

    Raises: ValueError: if the network does not fit the images.
    """

    def __init__(self, spec: TeacherSpec, shape: Shape, latents: int) -> None:
        super().__init__()
        self.sizes = latents, latents, latents * (latents - 1) // 2
        self.encoder = make_encoder(spec.encoder, shape, sum(self.sizes))

    def forward(self, x: Tensor) -> FullGaussian:
        """The posteriors of images x (N, D) in [0, 1]."""
        mean, log_sigma, below = self.encoder(x).to(x.dtype).split(self.sizes, dim=-1)
        lower = torch.diag_embed(torch.ones_like(mean))
        rows, columns = torch.tril_indices(self.sizes[0], self.sizes[0], -1, device=x.device)
        lower[:, rows, columns] = below / self.sizes[0] ** 0.5
        return FullGaussian(mean, bound_log_sigma(log_sigma).exp()[..., None] * lower)
