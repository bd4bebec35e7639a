"""How probable a model finds images: the evidence log p(x), and the ELBO, which bounds it from below."""

import math
from typing import Any, Literal

import torch
from torch import Tensor

from models.distributions import reparameterize
from models.evaluation.batches import Progress, unseen
from models.linear import LinearVAE
from models.vae import VAE

BATCH = 1000  # images, for the ELBO
CODES = 500  # decoded at once for the NLL: what is computed of them stays near the core

Precision = Literal["float32", "bfloat16"]


@torch.inference_mode()
def bound_figures(model: VAE, x: Tensor, generator: torch.Generator, progress: Progress = unseen) -> dict[str, Any]:
    """The ELBO of images x (N, D) and its terms in nats an image, by one draw from the posterior of each.

    The KL is exact, and given latent by latent, under a standard normal prior; under another it is by that same draw.
    """
    log_likelihood = 0.0
    kl = torch.zeros((), dtype=torch.float64)
    for done, batch in enumerate(x.split(BATCH)):
        progress("ELBO", done * BATCH, len(x))
        terms = model.elbo_terms(batch, model.draw_epsilon(batch, generator))
        log_likelihood += terms.log_likelihood.double().sum().item() / len(x)
        kl = kl + terms.kl.double().sum(0) / len(x)  # (G,)
    progress("ELBO", len(x), len(x))
    figures = {
        "test_negative_elbo_nats": kl.sum().item() - log_likelihood,
        "test_log_likelihood_nats": log_likelihood,
        "test_kl_nats": kl.sum().item(),
    }
    return figures | ({"test_kl_by_latent_nats": kl.tolist()} if len(kl) == model.latents else {})


def nll_figures(
    model: VAE, x: Tensor, samples: int, precision: Precision, generator: torch.Generator, progress: Progress = unseen
) -> dict[str, Any]:
    """-log p(x) of images x (N, D), in nats an image.

    The linear kind's posterior is the exact one, and each draw from it gives the evidence itself: one is enough.
    """
    samples = 1 if isinstance(model, LinearVAE) else samples
    nll, done = 0.0, 0
    progress("NLL", 0, len(x))
    for batch in x.split(max(1, CODES // samples)):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            log_likelihood = importance_sampled_log_likelihood(model, batch, samples, generator, CODES)
        nll -= log_likelihood.double().sum().item() / len(x)
        done += len(batch)
        progress("NLL", done, len(x))
    return {"test_nll_nats": nll, "nll_samples": samples, "nll_precision": precision}


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
    mean, log_sigma = model.posterior(x)
    parts = []
    for start in range(0, samples, chunk):
        epsilon = model.draw_epsilon(x, generator, min(chunk, samples - start))
        z = reparameterize(mean, log_sigma, epsilon)
        log_likelihood, log_ratio = model.log_weight_terms(x, z, mean, log_sigma)
        parts.append((log_likelihood + log_ratio).logsumexp(0))
    return torch.stack(parts).logsumexp(0) - math.log(samples)
