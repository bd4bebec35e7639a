"""What a run tells of itself: to a person, through a Reporter, and to files."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson


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
        """-ELBO, the loss."""
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


class MetricsFiles:
    """`metrics.jsonl`, a line an epoch, and TensorBoard's event files; both go on where a resumed run goes on."""

    def __init__(self, folder: Path, done: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # seconds to import, and only training needs it

        self._path = folder / "metrics.jsonl"
        lines = self._path.read_bytes().splitlines(keepends=True)[:done] if done else []
        self._path.write_bytes(b"".join(lines))
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=done + 1 if done else None)

    def write(self, report: EpochReport) -> None:
        """Raises: OSError: if it cannot be written."""
        figures = asdict(report)
        figures["negative_elbo"] = report.negative_elbo
        figures["validation_negative_elbo"] = report.validation_negative_elbo
        with self._path.open("ab") as file:
            file.write(orjson.dumps(figures, option=orjson.OPT_APPEND_NEWLINE))
            file.flush()
            os.fsync(file.fileno())
        for key, value in figures.items():
            if key != "epoch" and value is not None:
                self._board.add_scalar(key, value, report.epoch)
        self._board.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._board.close()
        except OSError:
            if error is None:  # else that one is the news: both come from the same full disk
                raise
