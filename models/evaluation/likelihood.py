"""How probable a model finds images: the evidence log p(x), which the ELBO bounds from below."""

import math

import torch
from torch import Tensor

from models.vae import VAE


@torch.inference_mode()
def importance_sampled_log_likelihood(
    model: VAE, x: Tensor, samples: int, generator: torch.Generator, chunk: int = 1000
) -> Tensor:
    """log p(x), estimated by importance sampling from the posterior.

    log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x), z_k ~ q(z|x): a lower bound in expectation, which K tightens.

    Args:
        x: (N, D) images in [0, 1].
        samples: K, the importance samples an image.
        chunk: how many of the K are decoded at once: memory is N * chunk * D floats.
    Returns: (N,) in nats.
    Source: Burda, Grosse & Salakhutdinov 2016, equation 8; Rezende, Mohamed & Wierstra 2014, appendix E.
    """
    parts = []
    for start in range(0, samples, chunk):
        epsilon = model.draw_epsilon(x, generator, min(chunk, samples - start))
        log_likelihood, log_ratio = model.log_weight_terms(x, epsilon)
        parts.append((log_likelihood + log_ratio).logsumexp(0))
    return torch.stack(parts).logsumexp(0) - math.log(samples)
