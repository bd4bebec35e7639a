"""How unlike its training data a model finds an image.

A model knows only its training data. Its surprise at an image, -ELBO, says little as a number; its rank among the
surprises at training digits that were held out says how unusual the image is.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.autoencoder import Autoencoder, Score
from models.config import Novelty

DRAWS = 8
STEPS = 200  # between two quantiles lies half a percent
BATCH = 500  # images


def score(model: Autoencoder, x: Tensor, draws: int = DRAWS) -> Score:
    """The terms of the ELBO of x (N, D) in [0, 1]; the noise is the same for every image, in every call."""
    epsilon = torch.randn((draws, model.latents), generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    return model.score(x, epsilon.to(x.device))


@torch.inference_mode()
def fit_novelty(model: Autoencoder, held_out: Tensor) -> Novelty:
    """The quantiles of the model's surprise at training digits (N, D) that it was not trained on."""
    parts = [score(model, batch.to(model.device)).surprise.cpu() for batch in held_out.split(BATCH)]
    surprise = torch.cat(parts).double()
    quantiles = surprise.quantile(torch.linspace(0, 1, STEPS + 1, dtype=torch.float64))
    return Novelty(images=len(held_out), draws=DRAWS, quantiles=tuple(quantiles.tolist()))


def percentile(novelty: Novelty, surprise: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The rank of surprises (N,) among those of held-out training digits: (N,) from 0, most usual, to 100."""
    ranks = np.linspace(0, 100, len(novelty.quantiles))
    return np.interp(surprise, novelty.quantiles, ranks).astype(np.float32)
