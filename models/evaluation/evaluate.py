"""The figures of a checkpoint on test digits."""

from collections.abc import Callable

import torch
from torch import Tensor

from models.data import Digits
from models.errors import ShapeError
from models.evaluation.likelihood import importance_sampled_log_likelihood
from models.likelihoods import Bernoulli
from models.vae import VAE

BATCH = 1000  # images, for what is cheap
NLL_BATCH = 10  # images, each with a thousand samples
ACTIVE = 0.01  # Burda, Grosse & Salakhutdinov 2016, section 5.2: a unit whose mean varies more than this is active


@torch.inference_mode()
def evaluate(
    model: VAE,
    digits: Digits,
    *,
    samples: int = 1000,
    seed: int = 0,
    progress: Callable[[int], None] = lambda _: None,
) -> dict[str, float | int]:
    """Measure a VAE on every one of `digits`; for a Bernoulli likelihood stochastically binarized, once, by `seed`.

    Args:
        samples: K, the importance samples an image of the NLL.
        progress: told how many images have had their NLL measured since it was last called.
    Returns: likelihoods and divergences in nats an image; the squared error a pixel of decoding the posterior mean of
        the grey digit, pixels in [0, 1]; the number of active units.
    Raises: ShapeError: if the model takes images of another size.
    """
    generator = torch.Generator().manual_seed(seed)
    grey = torch.from_numpy(digits.images.reshape(len(digits.images), -1)).float() / 255
    if grey.shape[1] != model.pixels:
        raise ShapeError(f"expected images of {model.pixels} pixels, which the model takes, found {grey.shape[1]}")
    binarize = isinstance(model.likelihood, Bernoulli)
    x = (torch.rand(grey.shape, generator=generator) < grey).float() if binarize else grey
    log_likelihood = kl = squared_error = nll = 0.0
    means: list[Tensor] = []
    for batch, grey_batch in zip(x.split(BATCH), grey.split(BATCH), strict=True):
        terms = model.elbo_terms(batch, torch.randn(len(batch), model.latents, generator=generator))
        log_likelihood += terms.log_likelihood.sum().item()
        kl += terms.kl.sum().item()
        means.append(model.encode(batch).mean)
        squared_error += (model.decode(model.encode(grey_batch).mean) - grey_batch).square().mean(-1).sum().item()
    for batch in x.split(NLL_BATCH):
        nll -= importance_sampled_log_likelihood(model, batch, samples, generator).double().sum().item()
        progress(len(batch))
    n = len(x)
    return {
        "test_images": n,
        "test_negative_elbo_nats": (kl - log_likelihood) / n,
        "test_log_likelihood_nats": log_likelihood / n,
        "test_kl_nats": kl / n,
        "test_nll_nats": nll / n,
        "nll_samples": samples,
        "active_units": int((torch.cat(means).var(0, correction=0) > ACTIVE).sum()),
        "reconstruction_mse": squared_error / n,
        "evaluation_seed": seed,
    }
