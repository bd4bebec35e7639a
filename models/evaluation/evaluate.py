"""The figures of a checkpoint on test digits."""

import numpy as np
import torch
from torch import Tensor

from models.autoencoder import Autoencoder
from models.config import Novelty
from models.data import Digits
from models.data.pixels import as_vectors, binarize
from models.errors import DataError, InputError, ShapeError
from models.evaluation.batches import Progress, in_batches, unseen
from models.evaluation.classifier import load_classifier
from models.evaluation.codes import NEIGHBOURS, active_units, codes, probe_figures
from models.evaluation.likelihood import Precision, bound_figures, check_samples, nll_figures
from models.evaluation.reconstruction import reconstruction_figures
from models.evaluation.samples import sample_figures
from models.evaluation.surprise import novelty_figures
from models.likelihoods import Bernoulli
from models.novelty import score
from models.vae import VAE

SHAPE = (28, 28)
TRAINING = 10_000  # training digits that are used, the first: as many as there are test digits

Figures = dict[str, float | int | str | list[float]]


def evaluate(
    model: Autoencoder,
    digits: Digits,
    *,
    training: Digits | None = None,
    novelty: Novelty | None = None,
    unlike: Digits | None = None,
    samples: int = 1000,
    precision: Precision = "float32",
    seed: int = 0,
    progress: Progress = unseen,
) -> Figures:
    """Measure on every one of `digits` what applies to the model's kind.

    The ELBO, the NLL and the active units of a Bernoulli likelihood are those of stochastically binarized digits, once,
    by `seed`; everything else is of grey ones.

    Args:
        training: training digits; the first 10,000 fit the probes, where they are of two sorts or more, and their FID
            is the floor of the samples'.
        novelty: the checkpoint's quantiles; without them nothing is said of surprise.
        unlike: images of something else, which should surprise.
        samples: K, the importance samples an image of the NLL.
        precision: of the networks' products in the NLL.
    Returns: the figures that `models.card.METRICS` explains; `test_kl_by_latent_nats` besides, a list.
    Raises: InputError: if K is less than 1, the digits are no images, or not each has a label. ShapeError: if the model
        takes images of another size, or one that is not MNIST's. DataError: if there are too few to measure by.
        CheckpointError: if the model gives what is not finite.
    """
    check_samples(samples)
    x = _labelled(digits, model)
    fitting = None if training is None else _labelled(training, model)[:TRAINING]
    other = None if unlike is None else pixels(unlike, model)
    if fitting is not None:
        for name, given in (("test", x), ("training", fitting)):
            if len(given) < 2:
                raise DataError(f"expected at least 2 {name} digits, found {len(given)}")
    generator = torch.Generator().manual_seed(seed)
    seen = binarize(x, generator) if isinstance(model, VAE) and isinstance(model.likelihood, Bernoulli) else x
    figures: Figures = {"test_images": len(x), "evaluation_seed": seed}
    if isinstance(model, VAE):
        figures |= bound_figures(model, seen, generator, progress)
        figures["active_units"] = active_units(codes(model, seen))
    else:
        log_likelihood = in_batches(lambda batch: score(model, batch).log_likelihood, x, "log p(x|z)", progress)
        figures["test_log_likelihood_nats"] = log_likelihood.double().mean().item()
    figures |= reconstruction_figures(model, x, digits.images.shape[1], seed, progress)
    if training is not None and fitting is not None:
        figures["training_digits_used"] = len(fitting)
        labels = training.labels[: len(fitting)]
        if len(labels) >= NEIGHBOURS and len(np.unique(labels)) > 1:
            seen_before = codes(model, fitting, progress)
            figures |= probe_figures(seen_before, labels, codes(model, x, progress), digits.labels)
    if isinstance(model, VAE):
        figures |= sample_figures(model, load_classifier().to(model.device), x, fitting, seed, progress)
    if novelty:
        figures |= novelty_figures(model, novelty, x, other, seed, progress)
    if isinstance(model, VAE):
        figures |= nll_figures(model, seen, samples, precision, generator, progress)
    return figures


def pixels(digits: Digits, model: Autoencoder) -> Tensor:
    """Images as the model takes them: (N, D) in [0, 1], on its device.

    Raises: InputError: if the digits are no images. ShapeError: if it takes another size, or one that is not MNIST's.
    """
    x = as_vectors(digits)
    if x.shape[1] != model.pixels:
        raise ShapeError(f"expected images of {model.pixels} pixels, which the model takes, found {x.shape[1]}")
    if digits.images.shape[1:] != SHAPE:
        found = "x".join(map(str, digits.images.shape[1:]))
        raise ShapeError(f"expected images of 28x28 pixels, which the classifier and the pictures take, found {found}")
    return x.to(model.device)


def _labelled(digits: Digits, model: Autoencoder) -> Tensor:
    """`pixels`, of digits that have labels. Raises: InputError: if not each has one."""
    labels = np.asarray(digits.labels)
    if labels.shape != (len(digits.images),) or labels.dtype.kind not in "iu":
        raise InputError(
            f"expected a whole number for each of the {len(digits.images)} images as its label, found "
            f"{labels.dtype} {labels.shape}"
        )
    return pixels(digits, model)
