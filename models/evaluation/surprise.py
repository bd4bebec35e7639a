"""If a model's surprise tells what is unlike its training data."""

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from models.autoencoder import Autoencoder
from models.config import Novelty
from models.evaluation.batches import Progress, in_batches, unseen
from models.novelty import percentile, score

Surprises = npt.NDArray[np.float32]


def surprises(model: Autoencoder, x: Tensor, of: str = "test digits", progress: Progress = unseen) -> Surprises:
    """The surprise at images x (N, D) in [0, 1]: (N,) in nats."""
    return in_batches(lambda batch: score(model, batch).surprise, x, f"surprise at {of}", progress).cpu().numpy()


def shuffle_pixels(x: Tensor, seed: int) -> Tensor:
    """Images (N, D), the pixels of each in an order of its own: the same ink, and no digit."""
    order = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)).argsort(-1).to(x.device)
    return x.gather(-1, order)


def deviation_from_uniform(percentiles: npt.NDArray[np.floating]) -> float:
    """The largest distance between how many of the percentiles (N,) lie below a value, in percent, and the value."""
    ordered, n = np.sort(percentiles), len(percentiles)
    above, below = 100 * np.arange(1, n + 1) / n - ordered, ordered - 100 * np.arange(n) / n
    return float(max(above.max(), below.max()))


def auroc(usual: Surprises, unlike: Surprises) -> float:
    """How often an unlike image surprises more than a usual one: 1 tells them apart, 0.5 is a guess."""
    truth = np.repeat([0, 1], [len(usual), len(unlike)])
    return float(roc_auc_score(truth, np.concatenate([usual, unlike])))


def novelty_figures(
    model: Autoencoder, novelty: Novelty, x: Tensor, unlike: Tensor | None, seed: int, progress: Progress = unseen
) -> dict[str, float]:
    """Of test digits x (N, D): how far their percentiles are from uniform, in points; and how well surprise tells
    them from themselves shuffled, from themselves inverted, and from images (N, D) that are unlike them."""
    usual = surprises(model, x, progress=progress)
    others = {"shuffled": shuffle_pixels(x, seed), "inverted": 1 - x} | ({} if unlike is None else {"unlike": unlike})
    return {"novelty_deviation_points": deviation_from_uniform(percentile(novelty, usual))} | {
        f"novelty_auroc_{name}": auroc(usual, surprises(model, images, f"{name} images", progress))
        for name, images in others.items()
    }
