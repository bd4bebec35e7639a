"""How probable a model finds images: the evidence log p(x), and the ELBO, which bounds it from below."""

import math
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from models.distributions import DiagonalGaussian, FullGaussian
from models.errors import InputError
from models.evaluation.batches import Progress, unseen
from models.laplace import laplace_approximation
from models.likelihoods import Bernoulli
from models.linear import LinearVAE
from models.vae import VAE

BATCH = 1000  # images, for the ELBO
CODES = 500  # decoded at once for the NLL: what is computed of them stays near the core
# To the Laplace approximation. Of a Bernoulli likelihood more of them change nothing that can be measured; under a
# Gaussian of small sigma an encoder's mean may be far off, and two leave the NLL tens of nats too high.
STEPS, STEPS_OF_GAUSSIAN = 2, 10
WIDENED = 1.1  # its standard deviations: for a thousand samples better than the narrower ones that a few are best from

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
        kl = kl + terms.kl.double().sum(0).cpu() / len(x)  # (G,)
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
    """-log p(x) of images x (N, D), in nats an image; and the same by the samples from the encoder's posterior alone.

    The linear kind's posterior is the exact one, and each draw from it gives the evidence itself: one is enough, in
    full precision, in which alone it is exact.
    """
    if isinstance(model, LinearVAE):
        samples, precision = 1, "float32"
    log_likelihood = by_posterior = 0.0
    done, images = 0, max(1, CODES // (1 + model.latents))
    progress("NLL", 0, len(x))
    for batch in x.split(images):
        # In full precision: what bfloat16 leaves of a difference between two decoded codes is mostly rounding.
        proposal = _near_posterior(model, batch) if samples > 1 else None
        with torch.autocast(x.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            evidence = importance_sample(model, batch, samples, generator, proposal, CODES // images)
        log_likelihood += evidence.log_likelihood.double().sum().item() / len(x)
        by_posterior += evidence.by_posterior.double().sum().item() / len(x)
        done += len(batch)
        progress("NLL", done, len(x))
    figures = {"test_nll_nats": -log_likelihood, "nll_samples": samples, "nll_precision": precision}
    return figures | ({"test_nll_by_posterior_nats": -by_posterior} if samples > 1 else {})


def _near_posterior(model: VAE, x: Tensor) -> FullGaussian | None:
    """The proposal beside the encoder's posterior; None where a decoder or a flow is too steep to be linearized."""
    steps = STEPS if isinstance(model.likelihood, Bernoulli) else STEPS_OF_GAUSSIAN
    try:
        return laplace_approximation(model, x, steps, WIDENED)
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        return None


def check_samples(samples: int) -> None:
    """Raises: InputError: if there is none of the K importance samples."""
    if samples < 1:
        raise InputError(f"samples: expected 1 or more, found {samples}")


class Evidence(NamedTuple):
    """Estimates of log p(x), each (N,) in nats."""

    log_likelihood: Tensor  # by all the samples
    by_posterior: Tensor  # by those from the encoder's posterior alone


@torch.inference_mode()
def importance_sample(
    model: VAE,
    x: Tensor,
    samples: int,
    generator: torch.Generator,
    proposal: FullGaussian | None = None,
    chunk: int = 1000,
) -> Evidence:
    """log p(x), estimated by importance sampling: a lower bound in expectation, which K tightens.

    log 1/K sum_k p(x, z_k) / r(z_k), z_k ~ r: of the posterior q(z|x), or half of it and half of another proposal, in
    which case the density r is the mixture's.

    Args:
        x: (N, D) images in [0, 1].
        samples: K, the importance samples an image.
        proposal: from which K // 2 of them are drawn.
        chunk: how many of the K are decoded at once: memory is N * chunk * D floats.
    Raises: InputError: if K is less than 1.
    Source: Burda, Grosse & Salakhutdinov 2016, equation 8; Rezende, Mohamed & Wierstra 2014, appendix E; for the
    mixture Owen & Zhou 2000, "Safe and Effective Importance Sampling", section 3.
    """
    check_samples(samples)
    posterior = DiagonalGaussian(*model.posterior(x))
    others = 0 if proposal is None else samples // 2
    own = samples - others
    weights, of_posterior = [], []
    for first in [*range(0, own, chunk), *range(own, samples, chunk)]:
        drawn_from_posterior = first < own
        epsilon = model.draw_epsilon(x, generator, min(chunk, (own if drawn_from_posterior else samples) - first))
        z = (posterior if drawn_from_posterior or proposal is None else proposal).draw(epsilon)
        log_joint = model.log_joint(x, z)
        log_density = posterior.log_prob(z)
        if drawn_from_posterior:
            of_posterior.append((log_joint - log_density).logsumexp(0))
        if proposal is not None and others:
            densities = log_density + math.log(own / samples), proposal.log_prob(z) + math.log(others / samples)
            log_density = torch.logaddexp(*densities)
        weights.append((log_joint - log_density).logsumexp(0))
    return Evidence(
        torch.stack(weights).logsumexp(0) - math.log(samples), torch.stack(of_posterior).logsumexp(0) - math.log(own)
    )
