"""A Gaussian near p(z|x), with the covariance that an encoder's diagonal one leaves out."""

import torch
from torch import Tensor
from torch.autograd import grad  # torch.func's takes seconds to import

from models.distributions import FullGaussian
from models.vae import VAE

RESOLVED = 1e-3  # of a code and of 1: a difference over less would be of rounding alone
LENGTHS = 1.0, 0.6, 0.3, 0.1, 0.0  # of each step what is tried; the best is taken


@torch.no_grad()
def laplace_approximation(model: VAE, x: Tensor, steps: int = 1, widened: float = 1.0) -> FullGaussian:
    """The Laplace approximation of p(z|x); it decodes Z + 6 codes an image and step.

    The decoder, and the flow of a prior that has one, are linearized by differences over the encoder's sigmas, about as
    far as the posterior looks, or over what float32 resolves if that is more. The covariance is that where the last
    step began.

    Args:
        x: (N, D) images in [0, 1].
        steps: of Gauss-Newton, from the encoder's mean.
        widened: what the standard deviations are multiplied by, against tails that are too light.
    Source: MacKay 2003, "Information Theory, Inference, and Learning Algorithms", chapter 27, with the Hessian of
    Schraudolph 2002, "Fast Curvature Matrix-Vector Products for Second-Order Gradient Descent", section 3.
    """
    z, log_sigma = model.posterior(x)
    sigma = log_sigma.exp().maximum(RESOLVED * (1 + z.abs()))
    moves = torch.diag_embed(sigma).movedim(1, 0)  # (Z, N, Z), each along one latent
    factor = moves.new_empty(0)
    for _ in range(steps):
        near = torch.cat((z[None], z + moves))
        output = model.decoder(near).to(x.dtype)
        output_jacobian, noise_jacobian = _jacobian(output, sigma), _jacobian(model.prior.to_noise(near), sigma)
        with torch.enable_grad():
            pixels, code = (tensor.detach().requires_grad_() for tensor in (output[0], z))
            (pixel_gradient,) = grad(model.likelihood.log_prob(x, pixels).sum(), pixels, create_graph=True)
            (pixel_hessian,) = grad(pixel_gradient.sum(), pixels)  # (N, D): pixels are independent
            (prior_gradient,) = grad(model.prior.log_prob(code).sum(), code)
        gradient = (output_jacobian @ pixel_gradient.detach()[..., None])[..., 0] + prior_gradient
        weighted_jacobian = output_jacobian * (-pixel_hessian).clamp_min(0)[:, None]
        with torch.autocast(x.device.type, enabled=False):  # rounded to half a precision it may not be positive
            precision = weighted_jacobian @ output_jacobian.mT + noise_jacobian @ noise_jacobian.mT
        factor = torch.linalg.cholesky(precision)
        step = torch.cholesky_solve(gradient[..., None], factor)[..., 0]
        tried = z + torch.tensor(LENGTHS, dtype=z.dtype, device=z.device)[:, None, None] * step
        z = tried[model.log_joint(x, tried).argmax(0), torch.arange(len(x), device=z.device)]
    covariance = torch.cholesky_inverse(factor / widened)
    return FullGaussian(z, torch.linalg.cholesky(covariance))


def _jacobian(values: Tensor, sigma: Tensor) -> Tensor:
    """The derivatives (N, Z, E) by each latent of values (1 + Z, N, E), at a code and a step (N, Z) off along each."""
    return (values[1:] - values[0]).movedim(0, 1) / sigma[..., None]
