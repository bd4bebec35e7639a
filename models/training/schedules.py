"""What changes from step to step: pure functions of the step, so that a resumed run needs no memory of them."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from models.recipe import OptimizationRecipe


def learning_rate(step: int, steps: int, recipe: OptimizationRecipe) -> float:
    """The learning rate of step 0, 1, ... of `steps`: a linear warm-up, then constant or half a cosine down to 0.

    Source: Loshchilov & Hutter 2017, equation 5, without restarts.
    """
    if step < recipe.warmup_steps:
        return recipe.learning_rate * (step + 1) / recipe.warmup_steps
    if recipe.schedule == "constant":
        return recipe.learning_rate
    progress = (step - recipe.warmup_steps) / max(1, steps - recipe.warmup_steps)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def kl_weight(step: int, recipe: OptimizationRecipe) -> float:
    """The weight of the KL in step 0, 1, ...: from near 0 up to 1, so that codes are used before they are priced.

    Source: Bowman et al. 2016, section 3.1; Sønderby et al. 2016, section 2.3.
    """
    return min(1.0, (step + 1) / recipe.kl_warmup_steps) if recipe.kl_warmup_steps else 1.0


Tensors = tuple[Tensor, ...] | list[Tensor]


def moving_average(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """An exponential moving average of weights, for `AveragedModel`.

    After n updates its decay is (1 + n) / (10 + n), until it is the one asked for: the average forgets the first
    weights as fast as there are others, so that it is worth validating after few steps too.
    """

    @torch.no_grad()
    def update(averages: Tensors, weights: Tensors, updates: Tensor | int) -> None:
        now = min(decay, (1 + int(updates)) / (10 + int(updates)))
        torch._foreach_lerp_(averages, weights, 1 - now)

    return update
