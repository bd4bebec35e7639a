"""What a service must answer: nobody is timed for answering nonsense."""

import io
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from benchmarks.calls import BenchmarkError
from models.checkpoint import load_checkpoint

TOLERANCE = 1e-4
HALVED_TOLERANCE = 0.1  # of half the precision


class Posterior(NamedTuple):
    """Of N images."""

    mean: npt.NDArray[np.float32]  # (N, Z)
    variance: npt.NDArray[np.float32] | None  # (N, Z)


def from_json(answer: bytes) -> Posterior:
    """The posterior that a service answers."""
    try:
        document = json.loads(answer)
        return Posterior(*(np.array(document[key], np.float32) for key in ("mean", "variance")))
    except (ValueError, KeyError, TypeError) as error:
        raise BenchmarkError(f"expected JSON with mean and variance, found {answer[:200]!r}") from error


@torch.inference_mode()
def directly(folder: Path, digit: bytes) -> Posterior:
    """The posterior of a PNG of the model's size, by the checkpoint's model itself."""
    with Image.open(io.BytesIO(digit)) as image:
        pixels = np.asarray(image, np.float32) / np.float32(255)
    mean, variance = load_checkpoint(folder).model.encode(torch.from_numpy(pixels.reshape(1, -1)))
    return Posterior(mean.numpy(), None if variance is None else variance.numpy())


def check(who: str, found: Posterior, expected: Posterior, tolerance: float = TOLERANCE) -> None:
    """Raises: BenchmarkError: if an answer is not the model's."""
    for name, ours, theirs in zip(Posterior._fields, found, expected, strict=True):
        if ours is None or theirs is None or ours.shape != theirs.shape:
            shapes = (None if numbers is None else numbers.shape for numbers in (theirs, ours))
            raise BenchmarkError("{}: {}: expected shape {}, found {}".format(who, name, *shapes))
        if not (error := float(np.abs(ours - theirs).max())) <= tolerance:
            raise BenchmarkError(f"{who}: {name}: expected the model's own to {tolerance:g}, found {error:g} beside it")
