"""How good a model is on the digits that were held out."""

from contextlib import AbstractContextManager

import torch
from torch import Tensor

from models.autoencoder import Autoencoder
from models.recipe import Iwae, Recipe
from models.training.objectives import bound
from models.training.observation import noise_of, observe

BATCH = 1000  # draws from the posterior at once


@torch.no_grad()
def validate(model: Autoencoder, held_out: Tensor, recipe: Recipe, epoch: int) -> tuple[float, float] | None:
    """The two terms of the epoch's bound over the held-out digits (N, D), with the same noise every time.

    Returns: log p(x|z) and what the bound takes off it, in nats an image; None if no digits were held out.
    """
    if not len(held_out):
        return None
    generator = noise_of(recipe.seed, 0)
    objective = recipe.objective.at(epoch)
    samples = objective.samples if isinstance(objective, Iwae) else 1
    log_likelihood = kl = 0.0
    for batch in held_out.split(max(1, BATCH // samples)):
        x = observe(batch, recipe.data, generator)
        with precision(recipe):
            terms = bound(model, x, objective, 1.0, generator)
        log_likelihood += terms.log_likelihood.item() * len(batch)
        kl += terms.kl.item() * len(batch)
    return log_likelihood / len(held_out), kl / len(held_out)


def precision(recipe: Recipe) -> AbstractContextManager[object]:
    """Where the networks' products are computed in the recipe's precision."""
    half = recipe.training is not None and recipe.training.precision == "bfloat16"
    return torch.autocast("cpu", torch.bfloat16, enabled=half)
