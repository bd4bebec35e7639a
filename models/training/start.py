"""The checkpoint whose weights a run begins with."""

import torch

from models.checkpoint import Checkpoint, load_checkpoint
from models.errors import CheckpointError, RecipeError
from models.files import checkpoint_folder
from models.kinds import build
from models.training.recipe import Recipe


def load_start(recipe: Recipe) -> Checkpoint | None:
    """The checkpoint that `recipe.start` names; None if it names none.

    Raises: RecipeError: if it cannot be read, or has a tensor that does not fit the recipe's model.
    """
    if recipe.start is None:
        return None
    folder = checkpoint_folder(recipe.start)
    try:
        start = load_checkpoint(folder)
    except CheckpointError as error:
        raise RecipeError(f"start: {error}") from error
    with torch.device("meta"):  # only to see that it fits
        mine = build(recipe.model).state_dict()
    for key, tensor in start.model.state_dict().items():
        if key not in mine or mine[key].shape != tensor.shape:
            here = tuple(mine[key].shape) if key in mine else "no such tensor"
            raise RecipeError(
                f"start: expected weights that fit this model, found {key} {tuple(tensor.shape)} in {folder}, "
                f"here {here}"
            )
    return start
