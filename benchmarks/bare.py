"""The encoders as anybody would write them with torch alone: what the package's own are compared with."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn


class MLP(nn.Module):
    def __init__(self, sizes: list[int], activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.activation = activation
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        return self.layers[-1](x)  # type: ignore[no-any-return]


class ResidualBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.elu(self.first(F.elu(x))))  # type: ignore[no-any-return]


class Stage(nn.Module):
    def __init__(self, incoming: int, outgoing: int, kernel: int, blocks: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(incoming, outgoing, kernel, stride=2, padding=kernel // 2)
        self.blocks = nn.Sequential(*(ResidualBlock(outgoing) for _ in range(blocks)))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.convolution(x))  # type: ignore[no-any-return]


class ConvEncoder(nn.Module):
    def __init__(self, channels: list[int], blocks: list[int], hidden: list[int], outputs: int) -> None:
        super().__init__()
        side = 28 // 2 ** len(channels)
        self.stages = nn.ModuleList(
            Stage(a, b, 3 if i else 5, blocks[i]) for i, (a, b) in enumerate(pairwise([1, *channels]))
        )
        self.last = MLP([channels[-1] * side * side, *hidden, outputs], F.elu)

    def forward(self, x: Tensor) -> Tensor:
        x = x.reshape(-1, 1, 28, 28)
        for i, stage in enumerate(self.stages):
            x = stage(F.elu(x) if i else x)
        return self.last(F.elu(x).flatten(1))  # type: ignore[no-any-return]


def load_encoder(folder: Path) -> nn.Module:
    """Images (N, 784) -> means and log sigmas, side by side (N, 2 Z)."""
    architecture = json.loads((folder / "config.json").read_text())["model"]["architecture"]
    spec, outputs = architecture["encoder"], 2 * architecture["latents"]
    if isinstance(spec, dict):
        encoder: nn.Module = ConvEncoder(spec["channels"], spec["blocks"], spec["hidden"], outputs)
    else:
        encoder = MLP([784, *spec, outputs], F.relu)
    weights = load_file(folder / "model.safetensors")
    encoder.load_state_dict({k.removeprefix("encoder."): w for k, w in weights.items() if k.startswith("encoder.")})
    return encoder.eval()
