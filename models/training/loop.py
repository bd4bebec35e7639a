"""Training: maximise the objective, keep the best weights, survive being interrupted."""

import fcntl
import hashlib
import math
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from models.autoencoder import Autoencoder
from models.checkpoint import load_checkpoint, read_config, save_checkpoint, update_checkpoint
from models.data import Digits
from models.errors import RecipeError, TrainingError
from models.files import checkpoint_folder, remove_unfinished
from models.kinds import build
from models.linear import LinearVAE
from models.novelty import fit_novelty
from models.training.objectives import bound
from models.training.recipe import DataRecipe, OptimizationRecipe, Recipe
from models.training.reporting import METRICS_FILE, EpochReport, MetricsFiles, Reporter
from models.training.schedules import kl_weight, learning_rate, moving_average
from models.training.state import STATE_FILE, Progress, load_state, read_progress, save_state

CHECKPOINT_FOLDER = "checkpoint"
VALIDATION_BATCH = 1000


def train(
    recipe: Recipe,
    digits: Digits,
    out: Path,
    *,
    resume: bool = False,
    threads: int | None = None,
    provenance: dict[str, Any] | None = None,
    reporter: Reporter | None = None,
) -> Progress:
    """Train `recipe` on `digits` and leave the best weights in `out/checkpoint`.

    After every epoch `out` holds a checkpoint that can be served, `metrics.jsonl`, TensorBoard's files and the state
    that `resume` goes on from; the result is the same, to the bit, however often the run was interrupted.

    Args:
        digits: the training digits; `recipe.data.validation` of them, the last, are held out.
        threads: how many torch uses; None takes torch's default. A resumed run keeps the count it began with.
        provenance: what the model card should say besides (the commit, say).
    Returns: where the run ended.
    Raises: RecipeError: if the recipe does not fit the data. TrainingError: if `out` holds a run and `resume` is not
        set, or holds another one; if the loss is not finite; if something cannot be written. The last checkpoint is
        intact in each case.
    """
    _check(recipe, digits)
    try:
        if out.exists() and not out.is_dir():
            raise TrainingError(f"{out}: expected a folder for the run, found a file")
        out.mkdir(parents=True, exist_ok=True)
        with _locked(out):
            progress = _begin(recipe, digits, out, resume, threads or torch.get_num_threads())
            if recipe.training is None:
                return _fit(recipe, digits, out, progress, provenance or {})
            run = _Run(recipe, recipe.training, digits, out, progress, provenance or {}, reporter or Reporter())
            return run.finish()
    except OSError as error:
        raise TrainingError(
            f"cannot write {error.filename or out}: {error.strerror or error}; what was saved before is intact, "
            "make room and start again with --resume"
        ) from error


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Keep other runs out of the folder; a run that is killed lets go of it. Raises: TrainingError: if one is in it."""
    folder = os.open(out, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TrainingError(f"{out}: another run is training in this folder: stop it, or name another") from error
        yield
    finally:
        os.close(folder)


def _check(recipe: Recipe, digits: Digits) -> None:
    kept = len(digits.images) - recipe.data.validation
    batch_size = recipe.training.batch_size if recipe.training else 2
    if kept < batch_size:
        raise RecipeError(
            f"training.batch_size: expected at most the {max(kept, 0)} digits left for training "
            f"({len(digits.images)} less {recipe.data.validation} for validation), found {batch_size}"
        )
    if recipe.model.input_shape != (1, *digits.images.shape[1:]):
        raise RecipeError(
            f"model.input_shape: expected the digits' {[1, *digits.images.shape[1:]]}, "
            f"found {list(recipe.model.input_shape)}"
        )


def _begin(recipe: Recipe, digits: Digits, out: Path, resume: bool, threads: int) -> Progress:
    sha256 = hashlib.sha256(np.ascontiguousarray(digits.images).data).hexdigest()
    found = read_progress(out)
    if found is None:
        start = read_config(checkpoint_folder(recipe.start)).weights.sha256 if recipe.start else None
        return Progress(recipe=recipe, data_sha256=sha256, threads=threads, start_sha256=start)
    if not resume:
        raise TrainingError(
            f"{out} holds a run already, after epoch {found.epoch}: go on with --resume, or name another folder"
        )
    if found.recipe != recipe:
        raise TrainingError(
            f"{out}: expected the recipe that the run began with, found another ({_differences(found.recipe, recipe)})"
        )
    if found.data_sha256 != sha256:
        raise TrainingError(
            f"{out}: expected the images the run began with, sha256 {found.data_sha256}, found {sha256}"
        )
    return found


def _differences(old: Recipe, new: Recipe) -> str:
    def flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
        if not isinstance(value, dict):
            yield prefix, value
            return
        for key, item in value.items():
            yield from flat(item, f"{prefix}.{key}".lstrip("."))

    before, after = dict(flat(old.model_dump())), dict(flat(new.model_dump()))
    keys = sorted(key for key in before | after if before.get(key) != after.get(key))
    return "; ".join(f"{key}: began with {before.get(key)!r}, now {after.get(key)!r}" for key in keys)


class _Data(NamedTuple):
    """Training digits as images (N, D) in [0, 1], float32."""

    images: Tensor
    held_out: Tensor

    @classmethod
    def split(cls, recipe: Recipe, digits: Digits) -> "_Data":
        images = torch.from_numpy(digits.images.reshape(len(digits.images), -1)).float() / 255
        kept = len(images) - recipe.data.validation
        return cls(images[:kept], images[kept:])


def _provenance(recipe: Recipe, data: _Data, progress: Progress) -> dict[str, Any]:
    """What the model card says of where the weights come from."""
    start = {"start": {"name": recipe.start, "sha256": progress.start_sha256}} if recipe.start else {}
    return start | {
        "recipe": recipe.model_dump(mode="json", exclude_none=True),
        "images": len(data.images),
        "validation_images": len(data.held_out),
        "images_sha256": progress.data_sha256,
        "threads": progress.threads,
        "torch": str(torch.__version__),
    }


def _fit(recipe: Recipe, digits: Digits, out: Path, progress: Progress, provenance: dict[str, Any]) -> Progress:
    """The kinds with a closed form. Raises: RecipeError: if the digits do not determine the model."""
    torch.set_num_threads(progress.threads)
    data = _Data.split(recipe, digits)
    model = build(recipe.model)
    assert isinstance(model, LinearVAE)  # noqa: S101  the recipe saw to it
    try:
        model.fit(data.images)
    except ValueError as error:
        raise RecipeError(f"model.architecture.latents: {error}") from error
    model.requires_grad_(False)
    save_checkpoint(
        out / CHECKPOINT_FOLDER,
        recipe.name,
        recipe.model,
        model.state_dict(),
        provenance | _provenance(recipe, data, progress),
        {},
        fit_novelty(model, data.held_out) if len(data.held_out) else None,
    )
    return progress


class _Run:
    """A run of the gradient-trained kinds."""

    def __init__(
        self,
        recipe: Recipe,
        training: OptimizationRecipe,
        digits: Digits,
        out: Path,
        progress: Progress,
        provenance: dict[str, Any],
        reporter: Reporter,
    ) -> None:
        self.recipe, self.training, self.out = recipe, training, out
        self.progress, self.reporter = progress, reporter
        torch.set_num_threads(progress.threads)
        data = self.data = _Data.split(recipe, digits)
        # An epoch's last, smaller batch waits for another shuffle.
        self.batches = len(data.images) // training.batch_size
        self.provenance = provenance | _provenance(recipe, data, progress)
        with torch.random.fork_rng():
            torch.manual_seed(recipe.seed)  # the initial weights
            self.model = build(recipe.model)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=training.learning_rate, fused=True)
        self.average = AveragedModel(self.model, multi_avg_fn=moving_average(training.average_decay), use_buffers=True)
        averaged = self.average.module
        assert isinstance(averaged, Autoencoder)  # noqa: S101  for the type checker
        self.averaged = averaged  # the weights that are validated and kept
        self.modules = {"model": self.model, "average": self.average}
        if progress.epoch:
            load_state(out, self.modules, self.optimizer)
        elif recipe.start:
            self._start_from(checkpoint_folder(recipe.start))

    def _start_from(self, folder: Path) -> None:
        """Begin with the weights of a checkpoint; what it lacks (a prior, say) begins as it would.

        Raises: CheckpointError: if there is no checkpoint. RecipeError: if its weights are not among this model's.
        """
        mine, theirs = self.model.state_dict(), load_checkpoint(folder).model.state_dict()
        for key, tensor in theirs.items():
            if key not in mine or mine[key].shape != tensor.shape:
                here = tuple(mine[key].shape) if key in mine else "no such tensor"
                raise RecipeError(
                    f"start: expected weights that fit this model, found {key} {tuple(tensor.shape)} in {folder}, "
                    f"here {here}"
                )
        self.model.load_state_dict(mine | theirs)
        self.averaged.load_state_dict(mine | theirs)

    def finish(self) -> Progress:
        """Run the epochs that are left."""
        progress, epochs = self.progress, self.training.epochs
        if progress.epoch < epochs and not progress.stopped_early:
            self._run(progress, epochs)
        checkpoint = self.out / CHECKPOINT_FOLDER
        if len(self.data.held_out) and read_config(checkpoint).novelty is None:
            update_checkpoint(checkpoint, novelty=fit_novelty(load_checkpoint(checkpoint).model, self.data.held_out))
        return progress

    def _run(self, progress: Progress, epochs: int) -> None:
        for name in (CHECKPOINT_FOLDER, STATE_FILE, METRICS_FILE):
            remove_unfinished(self.out / name)
        self.reporter.start(epochs, progress.epoch, self.batches * self.training.batch_size)
        try:
            with MetricsFiles(self.out, progress.epoch) as files:
                while progress.epoch < epochs and not progress.stopped_early:
                    report = self._epoch()
                    files.write(report)
                    save_state(self.out, progress, self.modules, self.optimizer)
                    self.reporter.epoch(report)
        finally:
            self.reporter.stop()

    def _epoch(self) -> EpochReport:
        progress, training = self.progress, self.training
        began = time.perf_counter()
        generator = _generator(self.recipe.seed, progress.epoch + 1)
        order = torch.randperm(len(self.data.images), generator=generator)[: self.batches * training.batch_size]
        total_log_likelihood = total_kl = 0.0
        for indices in order.split(training.batch_size):
            x = _observe(self.data.images[indices], self.recipe.data, generator)
            log_likelihood, kl = self._step(x, generator)
            total_log_likelihood += log_likelihood
            total_kl += kl
            self.reporter.batch(len(indices), log_likelihood, kl)
        images_per_s = len(order) / (time.perf_counter() - began)
        progress.epoch += 1
        held_out = self._validate()
        # The loss told of each step but the last; here is what that one did.
        tensors = self.averaged.state_dict().values()
        if not (all(tensor.isfinite().all() for tensor in tensors) and math.isfinite(sum(held_out or ()))):
            raise _not_finite("the weights or the validation loss are", progress.step, progress.epoch)
        self._keep(held_out)
        return EpochReport(
            epoch=progress.epoch,
            step=progress.step,
            learning_rate=self.optimizer.param_groups[0]["lr"],
            kl_weight=kl_weight(progress.step - 1, training),
            log_likelihood=total_log_likelihood / self.batches,
            kl=total_kl / self.batches,
            validation_log_likelihood=held_out[0] if held_out else None,
            validation_kl=held_out[1] if held_out else None,
            images_per_s=images_per_s,
            best_epoch=progress.best_epoch,
        )

    def _step(self, x: Tensor, generator: torch.Generator) -> tuple[float, float]:
        """One step up the objective; the two terms of the batch's bound, in nats an image."""
        training, progress = self.training, self.progress
        with self._precision():
            loss, log_likelihood, kl = bound(
                self.model, x, self.recipe.objective, kl_weight(progress.step, training), generator
            )
        if not math.isfinite(loss.item()):
            raise _not_finite(f"the loss is {loss.item()},", progress.step + 1, progress.epoch + 1)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(progress.step, self.batches * training.epochs, training)
        self.optimizer.zero_grad()
        loss.backward()
        if training.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), training.clip_norm)
        self.optimizer.step()
        self.average.update_parameters(self.model)
        progress.step += 1
        return log_likelihood.item(), kl.item()

    @torch.no_grad()
    def _validate(self) -> tuple[float, float] | None:
        """The bound's two terms over the held-out digits, with the same noise every epoch."""
        held_out = self.data.held_out
        if not len(held_out):
            return None
        generator = _generator(self.recipe.seed, 0)
        log_likelihood = kl = 0.0
        for batch in held_out.split(VALIDATION_BATCH):
            x = _observe(batch, self.recipe.data, generator)
            with self._precision():
                terms = bound(self.averaged, x, self.recipe.objective, 1.0, generator)
            log_likelihood += terms.log_likelihood.item() * len(batch)
            kl += terms.kl.item() * len(batch)
        return log_likelihood / len(held_out), kl / len(held_out)

    def _precision(self) -> AbstractContextManager[object]:
        """Where the networks' products are computed in the recipe's precision."""
        return torch.autocast("cpu", torch.bfloat16, enabled=self.training.precision == "bfloat16")

    def _keep(self, held_out: tuple[float, float] | None) -> None:
        """Save the weights as the checkpoint if they are the best so far, and stop if they have not been for long."""
        progress, patience = self.progress, self.training.patience
        negative_elbo = held_out[1] - held_out[0] if held_out else None
        best = progress.best_negative_elbo
        if negative_elbo is None or best is None or negative_elbo < best:
            progress.best_epoch, progress.best_negative_elbo = progress.epoch, negative_elbo
            save_checkpoint(
                self.out / CHECKPOINT_FOLDER,
                self.recipe.name,
                self.recipe.model,
                self.averaged.state_dict(),
                self.provenance | {"epochs": progress.epoch, "steps": progress.step},
                {} if negative_elbo is None else {"validation_negative_elbo_nats": negative_elbo},
            )
        elif patience and progress.epoch - progress.best_epoch >= patience:
            progress.stopped_early = True


def _not_finite(what: str, step: int, epoch: int) -> TrainingError:
    return TrainingError(
        f"{what} not finite at step {step} (epoch {epoch}): try a lower training.learning_rate or a longer "
        "training.warmup_steps; what was saved before is intact"
    )


def _generator(seed: int, epoch: int) -> torch.Generator:
    """The noise of one epoch (0: of validation), from nothing but the recipe's seed and the epoch's number."""
    return torch.Generator().manual_seed(
        int(np.random.SeedSequence((seed, epoch)).generate_state(1, np.uint64)[0] >> 1)
    )


def _observe(images: Tensor, recipe: DataRecipe, generator: torch.Generator) -> Tensor:
    """What the model is shown: the images (N, D), or one binarization of them."""
    if not recipe.binarize:
        return images
    return (torch.rand(images.shape, generator=generator) < images).float()
