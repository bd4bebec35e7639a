"""How like digits samples are, by what a classifier of digits sees in them."""

from typing import NamedTuple

import torch
from torch import Tensor

from models.evaluation.batches import Progress, in_batches, unseen
from models.evaluation.classifier import Classifier
from models.vae import VAE

SAMPLES = 10_000


class Seen(NamedTuple):
    """What the classifier sees in images."""

    features: Tensor  # (N, F)
    probabilities: Tensor  # (N, 10), of each digit


class Moments(NamedTuple):
    """The Gaussian that features are described by."""

    mean: Tensor  # (F,) float64
    covariance: Tensor  # (F, F) float64


def draw(model: VAE, count: int, seed: int, progress: Progress = unseen) -> Tensor:
    """Decoded means of N(0, I) noise that the prior has made codes of: (count, D) in [0, 1]."""
    noise = torch.randn(count, model.latents, generator=torch.Generator().manual_seed(seed)).to(model.device)
    return in_batches(lambda u: model.decode(model.from_noise(u)), noise, "samples", progress)


@torch.inference_mode()
def look(classifier: Classifier, x: Tensor) -> Seen:
    """Show images x (N, 784) in [0, 1] to the classifier."""
    features = in_batches(classifier.features, x, "features")
    return Seen(features, classifier.last(features).softmax(-1))


def moments(features: Tensor) -> Moments:
    """The mean and the covariance of features (N, F), in float64."""
    features = features.double()
    return Moments(features.mean(0), torch.cov(features.T, correction=0))


def frechet_distance(a: Moments, b: Moments) -> float:
    """The squared Fréchet distance of two Gaussians: |m - n|² + tr(A + B - 2 (A B)^½).

    (A B)^½ has the trace of (A^½ B A^½)^½, which is of symmetric matrices alone.
    Source: Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule", equation 6.
    """
    values, vectors = torch.linalg.eigh(a.covariance)
    root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ b.covariance @ root).clamp_min(0).sqrt().sum()
    trace = a.covariance.trace() + b.covariance.trace() - 2 * cross
    return max(0.0, float((a.mean - b.mean).square().sum() + trace))  # equal ones may differ by rounding


def sample_figures(
    model: VAE, classifier: Classifier, test: Tensor, training: Tensor | None, seed: int, progress: Progress = unseen
) -> dict[str, float]:
    """The Fréchet distance of 10,000 samples to the test digits (N, D), in the classifier's features (FID), and how
    sure the classifier is of them.

    Args:
        training: (N, D), other digits of the same kind: their distance is what no sample is expected to beat.
    Returns: the mean probability of the likeliest digit; the entropy of the digits' shares in nats, at most log 10.
    """
    seen, real = look(classifier, draw(model, SAMPLES, seed, progress)), moments(look(classifier, test).features)
    share = torch.bincount(seen.probabilities.argmax(-1), minlength=10) / SAMPLES
    figures = {
        "fid": frechet_distance(moments(seen.features), real),
        "sample_confidence": seen.probabilities.amax(-1).mean().item(),
        "sample_class_entropy_nats": torch.special.entr(share).sum().item(),
    }
    if training is not None:
        figures["fid_floor"] = frechet_distance(moments(look(classifier, training).features), real)
    return figures
