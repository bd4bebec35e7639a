"""Training by gradient: maximise the objective, keep the best weights, save after every epoch."""

import math
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from models.autoencoder import Autoencoder
from models.checkpoint import save_checkpoint
from models.device import enough_memory
from models.errors import TrainingError
from models.kinds import build
from models.recipe import OptimizationRecipe, Recipe
from models.training.folder import CHECKPOINT_FOLDER, writing
from models.training.objectives import bound
from models.training.observation import TrainingData, noise_of, observe
from models.training.reporting import EpochReport, MetricsFiles, Reporter
from models.training.schedules import kl_weight, learning_rate, moving_average
from models.training.start import begin_with, load_start
from models.training.state import RunState, load_state, save_state
from models.training.validation import ADVICE, Validation, precision, validate


class Loop:
    """The epochs of a run, from where `progress` is to its end.

    Raises: RecipeError: if the weights to start from cannot be had. TrainingError: if the state is damaged.
        NoMemoryError; of `finish` too.
    """

    @enough_memory(ADVICE)
    def __init__(
        self,
        recipe: Recipe,
        training: OptimizationRecipe,
        data: TrainingData,
        out: Path,
        progress: RunState,
        provenance: dict[str, Any],
        reporter: Reporter,
        device: torch.device,
    ) -> None:
        self.recipe, self.training, self.data, self.out = recipe, training, data, out
        self.progress, self.reporter = progress, reporter
        self.stored = torch.float16 if training.stored else torch.float32
        # An epoch's last, smaller batch waits for another shuffle.
        self.batches = len(data.images) // training.batch_size
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(recipe.seed)  # the initial weights
            self.model = build(recipe.model)
        if not progress.epoch and (start := load_start(recipe)):
            self.model.load_state_dict(begin_with(start, self.model.state_dict()))
            progress.start_sha256 = start.config.weights.sha256
        self.model.to(device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=training.learning_rate, fused=True)
        self.average = AveragedModel(self.model, multi_avg_fn=moving_average(training.average_decay), use_buffers=True)
        averaged = self.average.module
        assert isinstance(averaged, Autoencoder)  # noqa: S101  for the type checker
        self.averaged = self.kept = averaged  # kept: what is validated and saved
        self.modules: dict[str, nn.Module] = {"model": self.model, "average": self.average}
        if training.start_share:
            self.modules["start"] = deepcopy(averaged)
        if training.start_share or training.stored:
            self.kept = deepcopy(averaged)
        if progress.epoch:
            load_state(out, self.modules, self.optimizer)
        origin = {"start": {"name": recipe.start, "sha256": progress.start_sha256}} if recipe.start else {}
        self.provenance = provenance | origin

    def finish(self) -> None:
        """Run the epochs that are left.

        Raises: TrainingError: if a number is not finite, or a file cannot be written.
        """
        progress = self.progress
        self.reporter.start(self.training.epochs, progress.epoch, self.batches * self.training.batch_size)
        try:
            with writing(self.out):
                files = MetricsFiles(self.out, progress.epoch)
            with files:
                while not progress.finished:
                    report = self._epoch()
                    with writing(self.out):
                        files.write(report)
                        save_state(self.out, progress, self.modules, self.optimizer)
                    self.reporter.epoch(report)
        finally:
            self.reporter.stop()

    def _epoch(self) -> EpochReport:
        progress, training = self.progress, self.training
        began = time.perf_counter()
        generator = noise_of(self.recipe.seed, progress.epoch + 1)
        order = torch.randperm(len(self.data.images), generator=generator)[: self.batches * training.batch_size]
        total_log_likelihood = total_kl = 0.0
        for indices in order.split(training.batch_size):
            x = observe(self.data.images[indices], self.recipe.data, generator).to(self.model.device)
            log_likelihood, kl = self._step(x, generator)
            total_log_likelihood += log_likelihood
            total_kl += kl
            self.reporter.batch(len(indices), log_likelihood, kl)
        images_per_s = len(order) / (time.perf_counter() - began)
        progress.epoch += 1
        self._choose_kept()
        try:
            held_out = validate(self.kept, self.data.held_out, self.recipe, progress.epoch)
        except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
            raise _not_finite("a covariance is", progress.step, progress.epoch) from error
        # The loss told of each step but the last; here is what that one did.
        tensors = self.kept.state_dict().values()
        if not (all(tensor.isfinite().all() for tensor in tensors) and math.isfinite(sum(held_out or ()))):
            raise _not_finite("the weights or the validation loss are", progress.step, progress.epoch)
        with writing(self.out):
            self._keep(held_out)
        return EpochReport(
            epoch=progress.epoch,
            step=progress.step,
            learning_rate=self.optimizer.param_groups[0]["lr"],
            kl_weight=kl_weight(progress.step - 1, training),
            log_likelihood=total_log_likelihood / self.batches,
            kl=total_kl / self.batches,
            validation_log_likelihood=held_out.log_likelihood if held_out else None,
            validation_kl=held_out.kl if held_out else None,
            images_per_s=images_per_s,
            best_epoch=progress.best_epoch,
        )

    @enough_memory(ADVICE)
    def _step(self, x: Tensor, generator: torch.Generator) -> tuple[float, float]:
        """One step up the objective; the two terms of the batch's bound, in nats an image."""
        training, progress = self.training, self.progress
        try:
            with precision(self.recipe, x.device):
                terms = bound(
                    self.model,
                    x,
                    self.recipe.objective.at(progress.epoch + 1),
                    kl_weight(progress.step, training),
                    generator,
                )
        except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
            raise _not_finite("a covariance is", progress.step + 1, progress.epoch + 1) from error
        if not math.isfinite(terms.loss.item()):
            raise _not_finite(f"the loss is {terms.loss.item()},", progress.step + 1, progress.epoch + 1)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(progress.step, self.batches * training.epochs, training)
        self.optimizer.zero_grad()
        terms.loss.backward()
        if training.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), training.clip_norm)
        self.optimizer.step()
        self.average.update_parameters(self.model)
        progress.step += 1
        return terms.log_likelihood.item(), terms.kl.item()

    def _choose_kept(self) -> None:
        """Between the moving average and the start, where the recipe has the start keep a share; rounded as stored.

        Source: Wortsman et al. 2022, "Robust Fine-Tuning of Zero-Shot Models", equation 1.
        """
        weights = self.averaged.state_dict()
        if "start" in self.modules:
            start, share = self.modules["start"].state_dict(), self.training.start_share
            weights = {key: tensor.lerp(start[key], share) for key, tensor in weights.items()}
        if self.kept is not self.averaged:
            self.kept.load_state_dict({key: tensor.to(self.stored) for key, tensor in weights.items()})

    def _keep(self, held_out: Validation | None) -> None:
        """Save the weights as the checkpoint if they are the best so far, and stop if they have not been for long."""
        progress, training = self.progress, self.training
        if held_out is None or progress.best_loss is None or held_out.loss < progress.best_loss:
            progress.best_epoch = progress.epoch
            if held_out:
                progress.best_loss, progress.best_negative_elbo = held_out.loss, held_out.negative_elbo
            save_checkpoint(
                self.out / CHECKPOINT_FOLDER,
                self.recipe.name,
                self.recipe.model,
                {key: tensor.to(self.stored) for key, tensor in self.kept.state_dict().items()},
                self.provenance | {"epochs": progress.epoch, "steps": progress.step},
                progress.metrics,
            )
        elif training.patience:
            counted_from = max(progress.best_epoch, self.recipe.elbo_epochs)
            progress.stopped_early = progress.epoch - counted_from >= training.patience


def _not_finite(what: str, step: int, epoch: int) -> TrainingError:
    return TrainingError(
        f"{what} not finite at step {step} (epoch {epoch}): try a lower training.learning_rate or a longer "
        "training.warmup_steps; what was saved before is intact"
    )
