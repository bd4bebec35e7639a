"""The folder of a run: one run at a time, and the one that it holds is the one that is asked for."""

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.card import METRICS_OF_TRAINING
from models.checkpoint import CONFIG_FILE, FILES, read_config
from models.data import Digits
from models.errors import CheckpointError, TrainingError
from models.files import remove_unfinished
from models.recipe import Recipe, recorded
from models.training.reporting import METRICS_FILE, log_is_of_first_epoch
from models.training.state import STATE_FILE, RunState, read_run_state

CHECKPOINT_FOLDER = "checkpoint"
NO_ROOM = errno.ENOSPC, errno.EDQUOT, errno.EFBIG


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """Raises: TrainingError: where a file of the run in the folder cannot be written."""
    try:
        yield
    except OSError as error:
        advice = ", make room and start again with --resume" if error.errno in NO_ROOM else ""
        raise TrainingError(
            f"cannot write {error.filename or out}: {error.strerror or error}; what was saved before is intact{advice}"
        ) from error


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Keep other runs out of the folder; a run that is killed lets go of it, and what it left half-written goes.

    Raises: TrainingError: if another run is in it. OSError.
    """
    folder = os.open(out, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TrainingError(f"{out}: another run is training in this folder: stop it, or name another") from error
        for name in (CHECKPOINT_FOLDER, STATE_FILE, METRICS_FILE):
            remove_unfinished(out / name, FILES)
        yield
    finally:
        os.close(folder)


def find_run_state(recipe: Recipe, digits: Digits, out: Path, resume: bool, threads: int | None) -> RunState:
    """Where the run in the folder is; at its beginning if the folder holds none.

    Raises: TrainingError: if the folder holds a run and `resume` is not set, or it holds another one, or a checkpoint
        of which no run is known.
    """
    sha256 = hashlib.sha256(np.ascontiguousarray(digits.images).data).hexdigest()
    found = read_run_state(out)
    if found is None:
        _check_free(out, recipe, sha256)
        return RunState(recipe=recipe, data_sha256=sha256, threads=threads or torch.get_num_threads())
    if not resume:
        training = found.recipe.training
        where = f"at epoch {found.epoch} of {training.epochs}" if training else "which is finished"
        raise TrainingError(f"{out} holds a run already, {where}: go on with --resume, or name another folder")
    if recorded(found.recipe) != recorded(recipe):  # where a tuple is a list, as in the file
        raise TrainingError(
            f"{out}: expected the recipe that the run began with, found another ({_differences(found.recipe, recipe)})"
        )
    if found.data_sha256 != sha256:
        raise TrainingError(
            f"{out}: expected the images the run began with, sha256 {found.data_sha256}, found {sha256}"
        )
    if threads not in (None, found.threads):
        raise TrainingError(f"{out}: expected the {found.threads} threads that the run began with, found {threads}")
    return found


def _check_free(out: Path, recipe: Recipe, data_sha256: str) -> None:
    """Raises: TrainingError: if a run that begins would write over a checkpoint or a log, unless they are its own first
    epoch's: it may have been killed after it wrote them, before it wrote where it is, and does that again.
    """
    checkpoint, log = out / CHECKPOINT_FOLDER, out / METRICS_FILE
    if (checkpoint / CONFIG_FILE).exists() and not _is_of_first_epoch(checkpoint, recipe, data_sha256):
        raise TrainingError(f"{out} holds a checkpoint, and no state of the run that made it: name another folder")
    if log.exists() and not log_is_of_first_epoch(log.read_bytes()):
        raise TrainingError(f"{out} holds {METRICS_FILE}, and no state of the run that made it: name another folder")


def _is_of_first_epoch(checkpoint: Path, recipe: Recipe, data_sha256: str) -> bool:
    try:
        config = read_config(checkpoint)
    except CheckpointError:
        return False
    training = config.training
    found = training.get("recipe"), training.get("images_sha256"), training.get("epochs", 1)
    return found == (recorded(recipe), data_sha256, 1) and config.metrics.keys() <= set(METRICS_OF_TRAINING)


def _differences(old: Recipe, new: Recipe) -> str:
    def flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
        if not isinstance(value, dict):
            yield prefix, value
            return
        for key, item in value.items():
            yield from flat(item, f"{prefix}.{key}".lstrip("."))

    before, after = dict(flat(recorded(old))), dict(flat(recorded(new)))
    keys = sorted(key for key in before | after if before.get(key) != after.get(key))
    return "; ".join(f"{key}: began with {before.get(key)!r}, now {after.get(key)!r}" for key in keys)
