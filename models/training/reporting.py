"""What a run tells of itself: to a person, through a Reporter, and to files."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson

from models.files import write_atomically
from models.training.event_file import EventFile

METRICS_FILE = "metrics.jsonl"
FIRST = b'{"epoch":1,'  # what its first line begins with


@dataclass(frozen=True)
class EpochReport:
    """The figures of one epoch; likelihoods and divergences in nats an image."""

    epoch: int  # from 1
    step: int  # optimizer steps so far
    learning_rate: float
    kl_weight: float
    log_likelihood: float  # over the training digits, while training
    kl: float
    validation_log_likelihood: float | None  # over the held-out digits, with the weights that would be kept
    validation_kl: float | None
    images_per_s: float
    best_epoch: int  # whose weights are the checkpoint now

    @property
    def negative_elbo(self) -> float:
        """-ELBO, or the epoch's other bound, negated."""
        return self.kl - self.log_likelihood

    @property
    def validation_negative_elbo(self) -> float | None:
        if self.validation_kl is None or self.validation_log_likelihood is None:
            return None
        return self.validation_kl - self.validation_log_likelihood


class Reporter:
    """Told what happens; this one says nothing."""

    def start(self, epochs: int, done: int, images: int) -> None:
        """Before the first epoch: how many there will be, how many were done before, and images an epoch."""

    def batch(self, images: int, log_likelihood: float, kl: float) -> None:
        """After every batch, with its means in nats an image."""

    def epoch(self, report: EpochReport) -> None:
        """After every epoch."""

    def stop(self) -> None:
        """At the end, also of a run that failed."""

    def unchanged(self, out: Path) -> None:
        """Instead of all this, where the run in `out` was finished before and nothing was left to do."""


def log_is_of_first_epoch(log: bytes) -> bool:
    """Whether `metrics.jsonl` is what a run leaves that was killed before it saved an epoch: one line, or a part."""
    lines = log.splitlines()
    return len(lines) <= 1 and all(line[: len(FIRST)] == FIRST[: len(line)] for line in lines)


class MetricsFiles:
    """`metrics.jsonl`, a line an epoch, and TensorBoard's event files; both go on where a resumed run goes on."""

    def __init__(self, folder: Path, done: int) -> None:
        self._path = folder / METRICS_FILE
        # A run that was killed may have written a line, or half of one, for an epoch that it did not save.
        lines = self._path.read_bytes().splitlines(keepends=True)[:done] if done and self._path.exists() else []
        write_atomically(self._path, b"".join(lines))
        self._board = EventFile(folder / "tensorboard", first_step=done + 1)

    def write(self, report: EpochReport) -> None:
        """Raises: OSError: if it cannot be written."""
        figures = asdict(report)
        figures["negative_elbo"] = report.negative_elbo
        figures["validation_negative_elbo"] = report.validation_negative_elbo
        with self._path.open("ab") as file:
            file.write(orjson.dumps(figures, option=orjson.OPT_APPEND_NEWLINE))
            file.flush()
            os.fsync(file.fileno())
        scalars = {key: value for key, value in figures.items() if key != "epoch" and value is not None}
        self._board.add_scalars(report.epoch, scalars)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._board.__exit__(kind, error, traceback)
