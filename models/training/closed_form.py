"""Training without a gradient: the kinds whose best weights are known in closed form."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.checkpoint import save_checkpoint
from models.errors import RecipeError
from models.kinds import build
from models.recipe import Recipe
from models.training.folder import CHECKPOINT_FOLDER
from models.training.observation import TrainingData
from models.training.state import RunState, save_state
from models.training.validation import validate


def fit(recipe: Recipe, data: TrainingData, out: Path, progress: RunState, provenance: dict[str, Any]) -> None:
    """Leave the weights of greatest likelihood in the run's checkpoint, and its end in the state.

    Raises: RecipeError: if the digits do not determine the weights. OSError.
    """
    with torch.random.fork_rng(devices=()):  # what it begins with is drawn, and then written over
        model = build(recipe.model)
    try:
        model.fit(data.images)
    except ValueError as error:
        raise RecipeError(f"model.architecture.latents: {error}") from error
    held_out = validate(model, data.held_out, recipe, epoch=1)
    progress.epoch = progress.best_epoch = 1  # all it takes
    progress.best_negative_elbo = held_out.negative_elbo if held_out else None
    tensors: dict[str, Tensor] = model.state_dict()
    save_checkpoint(out / CHECKPOINT_FOLDER, recipe.name, recipe.model, tensors, provenance, progress.metrics)
    save_state(out, progress)
