"""Many images through a model, some at a time, so that memory is bounded and a person sees how far it is."""

from collections.abc import Callable

import torch
from torch import Tensor

BATCH = 500  # images

Progress = Callable[[str, int, int], None]  # told what is being measured, how much of it is done, and how much there is


def unseen(what: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


@torch.inference_mode()
def in_batches(function: Callable[[Tensor], Tensor], x: Tensor, what: str, progress: Progress = unseen) -> Tensor:
    """function(x), for a function that treats every row alike: x (N, ...) -> (N, ...)."""
    parts = []
    progress(what, 0, len(x))
    for batch in x.split(BATCH):
        parts.append(function(batch))
        progress(what, sum(map(len, parts)), len(x))
    return torch.cat(parts)
