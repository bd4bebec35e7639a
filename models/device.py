"""Where a model's weights lie, and what is computed with them: on the CPU or on a GPU.

Noise is drawn on the CPU wherever it goes, so that it is the same everywhere.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from models.errors import ReparamError

Device = Literal["cpu", "cuda", "auto"]

CPU = torch.device("cpu")


class DeviceError(ReparamError):
    """The device that was asked for is not there."""


class NoMemoryError(ReparamError):
    """There is no memory for what is to be computed."""


def find_device(wanted: Device) -> torch.device:
    """The device of this name; for "auto" a GPU if there is one. Its float32 is float32, not torch's TF32.

    Raises: DeviceError: if there is none.
    """
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise DeviceError("device: expected a CUDA device that this build of torch can use, found none")
    if wanted == "cpu" or not there:
        return CPU
    torch.backends.cudnn.allow_tf32 = False  # of convolutions; of matrix products torch has it off
    return torch.device("cuda")


@contextmanager
def enough_memory(advice: str) -> Iterator[None]:
    """Raises: NoMemoryError: with the advice, if there is none for what torch is to compute."""
    try:
        yield
    except RuntimeError as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in reason:  # a CPU's
            raise
        raise NoMemoryError(f"no memory for the model, a batch and its samples ({reason}): {advice}") from error


def describe(device: torch.device) -> str:
    """A device in words: its name, and a GPU's model."""
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)
