"""Many images through a model, some at a time, so that memory is bounded and a person sees how far it is."""

from collections.abc import Callable

import torch
from torch import Tensor

from models.errors import CheckpointError

BATCH = 500  # images

Progress = Callable[[str, int, int], None]  # told what is being measured, how much of it is done, and how much there is


def unseen(what: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


@torch.inference_mode()
def in_batches(function: Callable[[Tensor], Tensor], x: Tensor, what: str, progress: Progress = unseen) -> Tensor:
    """function(x), for a function that treats every row alike: x (N, ...) -> (N, ...).

    Raises: CheckpointError: if it gives a number that is not finite.
    """
    parts = []
    progress(what, 0, len(x))
    for batch in x.split(BATCH):
        parts.append(function(batch))
        progress(what, sum(map(len, parts)), len(x))
    result = torch.cat(parts)
    if not result.isfinite().all():
        raise CheckpointError(f"{what}: expected finite numbers, found NaN or infinity")
    return result
