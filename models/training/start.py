"""The checkpoint whose weights a run begins with, in a model that may have more."""

import torch
from torch import Tensor

from models.autoencoder import Autoencoder
from models.checkpoint import Checkpoint, load_checkpoint
from models.errors import CheckpointError, RecipeError
from models.files import checkpoint_folder
from models.kinds import build
from models.networks import MLP, ResidualDecoder, ResidualEncoder
from models.recipe import Recipe


def load_start(recipe: Recipe) -> Checkpoint | None:
    """The checkpoint that `recipe.start` names; None if it names none.

    Raises: RecipeError: if it cannot be read, or does not fit the recipe's model in a tensor or in its layers.
    """
    if recipe.start is None:
        return None
    try:
        folder = checkpoint_folder(recipe.start)
        start = load_checkpoint(folder)
    except CheckpointError as error:
        raise RecipeError(f"start: {error}") from error
    theirs, ours = start.config.model.likelihood.kind, recipe.model.likelihood.kind
    if theirs != ours:  # what its decoder gives would be read as something else
        raise RecipeError(f"start: expected the likelihood {theirs!r}, as in {folder}, found {ours!r}")
    with torch.device("meta"):  # only to see that it fits
        model = build(recipe.model)
    depths = _depths(model)
    for network, depth in _depths(start.model).items():
        if depths.get(network, depth) != depth:  # else a last layer would begin as a hidden one
            name, what = network
            raise RecipeError(f"start: expected {depth} {what} of {name}, as in {folder}, found {depths[network]}")
    mine = model.state_dict()
    ends, of_start = ((m.pixels, m.latents, m.encoded) for m in (model, start.model))
    fits = _holds if ends == of_start else _is_like  # the units of a first or a last layer mean something
    for key, tensor in start.model.state_dict().items():
        if key not in mine or not fits(mine[key], tensor):
            here = tuple(mine[key].shape) if key in mine else "no such tensor"
            raise RecipeError(
                f"start: expected weights that fit this model, found {key} {tuple(tensor.shape)} in {folder}, "
                f"here {here}"
            )
    return start


def begin_with(start: Checkpoint, untrained: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a model of which `start` has some: it computes what `start` does.

    What `start` lacks begins untrained. Where a layer is wider its new units do too, and the old ones are deaf to them.

    Source: after Chen, Goodfellow & Shlens 2016, "Net2Net: Accelerating Learning via Knowledge Transfer".
    """
    return untrained | {key: _grown(untrained[key], tensor) for key, tensor in start.model.state_dict().items()}


def _depths(model: Autoencoder) -> dict[tuple[str, str], int]:
    """How many layers, or stages, each network of a model has by its name; the blocks of a stage do not count."""
    depths = {}
    for name, part in model.named_modules():
        if isinstance(part, MLP):
            depths[name, "layers"] = len(part.layers)
        elif isinstance(part, ResidualEncoder | ResidualDecoder):
            depths[name, "stages"] = len(part.stages)
    return depths


def _holds(wide: Tensor, narrow: Tensor) -> bool:
    """Whether it is the same layer with as many units or more, on each side."""
    if wide.ndim != narrow.ndim or wide.shape[2:] != narrow.shape[2:]:
        return False
    return all(more >= some for more, some in zip(wide.shape, narrow.shape, strict=True))


def _is_like(mine: Tensor, tensor: Tensor) -> bool:
    return mine.shape == tensor.shape


def _grown(untrained: Tensor, begun: Tensor) -> Tensor:
    """The weight or the bias of a layer, (outputs, inputs, ...) or (outputs,), with `begun` in its corner."""
    if untrained.shape == begun.shape:
        return begun
    grown = untrained.clone()
    outputs, inputs = begun.shape[0], begun.shape[1:2]
    grown[:outputs] = 0
    grown[(slice(outputs), *map(slice, inputs))] = begun
    return grown
