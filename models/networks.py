"""The networks that encoders and decoders are made of."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn


class MLP(nn.Module):
    """Linear layers with a ReLU between each two and none after the last.

    Args:
        sizes: the width of the input, of each hidden layer, and of the output; at least two.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

    def forward(self, x: Tensor) -> Tensor:
        """(..., sizes[0]) -> (..., sizes[-1])."""
        *hidden, last = self.layers
        for layer in hidden:
            x = layer(x).relu()
        return last(x)  # type: ignore[no-any-return]
