"""How good a model is on the digits that were held out."""

from contextlib import AbstractContextManager
from typing import NamedTuple

import torch
from torch import Tensor

from models.autoencoder import Autoencoder
from models.device import enough_memory
from models.recipe import Iwae, Recipe
from models.training.objectives import bound
from models.training.observation import noise_of, observe

BATCH = 1000  # draws from the posterior at once
ADVICE = (
    "try narrower networks, a lower training.batch_size or fewer objective.samples; what was saved before is intact"
)


class Validation(NamedTuple):
    """The epoch's bound on the held-out digits, and what it is trained by, in nats an image."""

    log_likelihood: float  # log p(x|z)
    kl: float  # what the bound takes off it
    weighted_kl: float  # the same as the objective prices it

    @property
    def negative_elbo(self) -> float:
        """-ELBO, or the epoch's other bound, negated."""
        return self.kl - self.log_likelihood

    @property
    def loss(self) -> float:
        """What training minimises, and the best epoch has least of: the -ELBO, unless its KL has another price."""
        return self.weighted_kl - self.log_likelihood


@enough_memory(ADVICE)
@torch.no_grad()
def validate(model: Autoencoder, held_out: Tensor, recipe: Recipe, epoch: int) -> Validation | None:
    """The epoch's bound over the held-out digits (N, D), with the same noise every time; None if there are none."""
    if not len(held_out):
        return None
    generator = noise_of(recipe.seed, 0)
    objective = recipe.objective.at(epoch)
    samples = objective.samples if isinstance(objective, Iwae) else 1
    log_likelihood = kl = weighted_kl = 0.0
    for batch in held_out.split(max(1, BATCH // samples)):
        x = observe(batch, recipe.data, generator).to(model.device)
        with precision(recipe, model.device):
            terms = bound(model, x, objective, 1.0, generator)
        log_likelihood += terms.log_likelihood.item() * len(batch)
        kl += terms.kl.item() * len(batch)
        weighted_kl += terms.weighted_kl.item() * len(batch)
    return Validation(log_likelihood / len(held_out), kl / len(held_out), weighted_kl / len(held_out))


def precision(recipe: Recipe, device: torch.device) -> AbstractContextManager[object]:
    """Where the networks' products are computed in the recipe's precision."""
    half = recipe.training is not None and recipe.training.precision == "bfloat16"
    return torch.autocast(device.type, torch.bfloat16, enabled=half)
