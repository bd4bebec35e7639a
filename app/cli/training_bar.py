"""What `reparam train` shows: a bar on a terminal, and a line an epoch there and in a log."""

import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from models.recipe import Elbo
from models.training import EpochReport, Recipe, Reporter

REFRESH_S = 0.2
SMOOTHING = 0.02  # of the terms on the bar: a single batch's are too restless to read


class TrainingBar(Reporter):
    """The bound, where it is the ELBO its two terms, the throughput and the time left."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[bound]} nats"),
            TextColumn("{task.fields[rate]:,.0f} images/s"),
            TimeRemainingColumn(),
            console=self._console,
            auto_refresh=False,
        )

    def start(self, epochs: int, done: int, images: int) -> None:
        self._epochs, self._images = epochs, images
        self._seen = self._seen_before = done * images
        self._log_likelihood = self._kl = 0.0
        self._began = self._shown = time.monotonic()
        self._task = self._bar.add_task("", total=epochs * images, completed=self._seen, **self._fields())
        if self._console.is_terminal:
            self._bar.start()

    def batch(self, images: int, log_likelihood: float, kl: float) -> None:
        weight = SMOOTHING if self._seen > self._seen_before else 1.0
        self._seen += images
        self._log_likelihood += weight * (log_likelihood - self._log_likelihood)
        self._kl += weight * (kl - self._kl)
        if time.monotonic() - self._shown > REFRESH_S:
            self._shown = time.monotonic()
            self._bar.update(self._task, completed=self._seen, refresh=self._console.is_terminal, **self._fields())

    def epoch(self, report: EpochReport) -> None:
        bound, held_out = self._recipe.bound(report.epoch), report.validation_negative_elbo
        terms = f" (log p(x|z) {report.log_likelihood:.2f}, KL {report.kl:.2f})" if bound == Elbo.name else ""
        self._console.print(
            f"epoch {report.epoch}/{self._epochs}  -{bound} {report.negative_elbo:.2f} nats{terms}"
            + ("" if held_out is None else f"  validation -{bound} {held_out:.2f}, best in epoch {report.best_epoch}")
            + f"  {report.images_per_s:,.0f} images/s",
            highlight=False,
            soft_wrap=True,
        )

    def stop(self) -> None:
        if self._console.is_terminal:  # else it would print an empty line
            self._bar.stop()

    def unchanged(self, out: Path) -> None:
        self._console.print(
            f"{out}: this run was finished before; nothing was changed", highlight=False, markup=False, soft_wrap=True
        )

    def _fields(self) -> dict[str, Any]:
        elapsed = time.monotonic() - self._began
        epoch = min(self._seen // self._images + 1, self._epochs)
        bound = self._recipe.bound(epoch)
        terms = f"log p(x|z) {self._log_likelihood:.2f}  KL {self._kl:.2f}"
        return {
            "epoch": f"{epoch}/{self._epochs}",
            "bound": terms if bound == Elbo.name else f"-{bound} {self._kl - self._log_likelihood:.2f}",
            "rate": (self._seen - self._seen_before) / elapsed if elapsed else 0.0,
        }
