"""A run: a recipe, digits and a folder make a checkpoint, whatever interrupts them."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.checkpoint import load_checkpoint, read_config, update_checkpoint
from models.config import DigitPreprocessing
from models.data import Digits
from models.data.pixels import check_images
from models.device import CPU, describe, enough_memory
from models.errors import RecipeError, TrainingError
from models.novelty import fit_novelty
from models.recipe import Recipe, check_model, recorded
from models.training.closed_form import fit
from models.training.folder import CHECKPOINT_FOLDER, find_run_state, locked, writing
from models.training.loop import Loop
from models.training.observation import TrainingData
from models.training.reporting import Reporter
from models.training.start import load_start
from models.training.state import RunState, read_run_state


def train(
    recipe: Recipe,
    digits: Digits,
    out: Path,
    *,
    resume: bool = False,
    threads: int | None = None,
    device: torch.device = CPU,
    provenance: dict[str, Any] | None = None,
    reporter: Reporter | None = None,
) -> RunState:
    """Train `recipe` on `digits` and leave the best weights in `out/checkpoint`.

    After every epoch `out` holds a checkpoint that can be served, `metrics.jsonl`, TensorBoard's files and the state
    that `resume` goes on from; the result is the same, to the bit, however often the run was interrupted. A kind with a
    closed form takes no epochs: it leaves the checkpoint, and a state that says that the run is finished.

    Args:
        digits: the training digits; `recipe.data.validation` of them, the last, are held out.
        threads: how many torch uses meanwhile; None takes as many as it is set to, or as a resumed run began with.
        device: where it is trained; a closed form is found on the CPU.
        provenance: what the model card should say besides (the commit, say).
    Returns: where the run ended.
    Raises: InputError: if the digits are no images.
        RecipeError: if the recipe's model cannot be built, or does not fit the data, or the weights it starts from do
        not fit its model.
        TrainingError: if `out` holds a run and `resume` is not set, or holds another one; if the loss is not finite;
        if something cannot be written. NoMemoryError. The last checkpoint is intact in each case.
    """
    _check(recipe, digits)
    reporter = reporter or Reporter()
    with ExitStack() as stack:
        with writing(out):
            if out.exists() and not out.is_dir():
                raise TrainingError(f"{out}: expected a folder for the run, found a file")
            if read_run_state(out) is None:
                load_start(recipe)  # a bad one is told before anything is written; a run that began needs it no more
            out.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(out))
            progress = find_run_state(recipe, digits, out, resume, threads)
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(progress.threads)
        where = describe(device if recipe.training else CPU)
        if not progress.finished and where not in progress.devices:
            progress.devices += (where,)
        data = TrainingData.split(digits, recipe.data)
        finished_before = progress.finished
        if not finished_before:
            known = (provenance or {}) | _provenance(recipe, data, progress)
            if recipe.training is None:
                with writing(out):
                    fit(recipe, data, out, progress, known)
            else:
                Loop(recipe, recipe.training, data, out, progress, known, reporter, device).finish()
        with writing(out):
            ranked = _rank_surprise(out / CHECKPOINT_FOLDER, data.held_out, device)
        if finished_before and not ranked:
            reporter.unchanged(out)
        return progress


def _check(recipe: Recipe, digits: Digits) -> None:
    check_model(recipe)
    check_images(digits.images)
    count, shape = len(digits.images), [1, *digits.images.shape[1:]]
    kept = max(0, count - recipe.data.validation)
    if kept < 2:
        raise RecipeError(
            f"data.validation: expected to leave at least 2 of the {count} digits for training, "
            f"found {recipe.data.validation}"
        )
    if recipe.training and kept < recipe.training.batch_size:
        raise RecipeError(
            f"training.batch_size: expected at most the {kept} digits left for training "
            f"({count} less {recipe.data.validation} for validation), found {recipe.training.batch_size}"
        )
    if list(recipe.model.input_shape) != shape:
        raise RecipeError(f"model.input_shape: expected the digits' {shape}, found {list(recipe.model.input_shape)}")
    _, rows, columns = shape
    side = DigitPreprocessing().box
    if rows != columns or rows < side:  # into which a picture is fitted where the checkpoint is served
        raise RecipeError(f"expected digits in squares of at least {side} pixels a side, found {rows}x{columns}")


def _provenance(recipe: Recipe, data: TrainingData, progress: RunState) -> dict[str, Any]:
    """What the model card says of where the weights come from."""
    return {
        "recipe": recorded(recipe),
        "images": len(data.images),
        "validation_images": len(data.held_out),
        "images_sha256": progress.data_sha256,
        "threads": progress.threads,
        "device": ", ".join(progress.devices),
        "torch": str(torch.__version__),
    }


@enough_memory("go on with --resume, and --device cpu")
def _rank_surprise(checkpoint: Path, held_out: Tensor, device: torch.device) -> bool:
    """Add the quantiles of the model's surprise at the held-out digits to a checkpoint without; True if it did."""
    if not len(held_out) or read_config(checkpoint).novelty is not None:
        return False
    loaded = load_checkpoint(checkpoint)
    update_checkpoint(checkpoint, loaded.config.weights.sha256, novelty=fit_novelty(loaded.model.to(device), held_out))
    return True
