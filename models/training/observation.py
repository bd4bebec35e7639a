"""What a run sees of the digits: which it trains on, and what it makes of them each time it looks."""

from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Generator, Tensor

from models.data import Digits
from models.data.pixels import as_vectors, binarize
from models.recipe import DataRecipe


class TrainingData(NamedTuple):
    """The digits as images (N, D) in [0, 1], float32."""

    images: Tensor
    held_out: Tensor  # the last of them

    @classmethod
    def split(cls, digits: Digits, recipe: DataRecipe) -> Self:
        images = as_vectors(digits)
        kept = len(images) - recipe.validation
        return cls(images[:kept], images[kept:])


def noise_of(seed: int, epoch: int) -> Generator:
    """The noise of one epoch (0: of validation), from nothing but the recipe's seed and the epoch's number."""
    return torch.Generator().manual_seed(
        int(np.random.SeedSequence((seed, epoch)).generate_state(1, np.uint64)[0] >> 1)
    )


def observe(images: Tensor, recipe: DataRecipe, generator: Generator) -> Tensor:
    """What the model is shown: the images (N, D), or one binarization of them."""
    return binarize(images, generator) if recipe.binarize else images
