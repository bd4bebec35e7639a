"""The networks that encoders and decoders are made of.

Both sides are described in the same words: a list of widths is an MLP with those hidden layers, `channels` and `blocks`
are a residual convolutional network. An encoder and its decoder need not be alike.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from math import e, log2, prod
from typing import Annotated, Self

import torch
import torch.nn.functional as F
from pydantic import Discriminator, Field, Tag, model_validator
from torch import Tensor, nn

from models.strict import Depth, Strict, Width, Widths

Shape = tuple[int, ...]  # (channels, rows, columns) of an image

# From how many multiplications, and numbers, on the quicker ways below are quicker.
_MANY_PRODUCTS, _MANY_NUMBERS = 2**23, 2**14


def _processor_of(maker: str) -> bool:
    """Whether the processor is this maker's, where the system says whose it is."""
    with suppress(OSError), open("/proc/cpuinfo", "rb") as told:  # noqa: PTH123  the first of many processors
        return maker.encode() in told.read(1024)
    return False


# MKL, which torch calls by itself, is Intel's. Elsewhere oneDNN is the quicker one for many products.
_INTEL = torch.backends.mkl.is_available() and _processor_of("GenuineIntel")
_ONEDNN = (
    torch.backends.mkldnn.is_available()
    and torch.backends.cpu.get_cpu_capability() == "AVX512"
    and _processor_of("AuthenticAMD")
)


class ResidualSpec(Strict):
    """A residual convolutional network: stages between which the image's sides halve (encoder) or double (decoder).

    `channels` and `blocks` go stage by stage, in the order in which the data passes them. `hidden` are the widths of
    fully connected layers between the coarsest maps and the code: a digit is one shape, not a texture.
    """

    channels: Annotated[tuple[Width, ...], Field(min_length=1, max_length=16)]
    blocks: Annotated[tuple[Depth, ...], Field(max_length=16)]
    hidden: Widths = ()

    @model_validator(mode="after")
    def _alike(self) -> Self:
        if len(self.channels) != len(self.blocks):
            raise ValueError(
                f"expected as many blocks as channels, a number for each stage, found {len(self.blocks)} blocks "
                f"and {len(self.channels)} channels"
            )
        return self


def _which_network(spec: object) -> str | None:
    """The tag under which an error in a network's description is told."""
    if isinstance(spec, Mapping | ResidualSpec):
        return "residual"
    return "widths" if isinstance(spec, list | tuple) else None


NetworkSpec = Annotated[
    Annotated[Widths, Tag("widths")] | Annotated[ResidualSpec, Tag("residual")],
    Discriminator(
        _which_network,
        custom_error_type="network",
        custom_error_message="expected a list of widths, or a table of channels and blocks",
    ),
]


def make_encoder(spec: Sequence[int] | ResidualSpec, shape: Shape, outputs: int) -> nn.Module:
    """A network from images as vectors (..., D) to (..., outputs). Raises: ValueError: if the shape does not fit."""
    if isinstance(spec, ResidualSpec):
        return ResidualEncoder(spec, shape, outputs)
    return MLP((prod(shape), *spec, outputs))


def make_decoder(spec: Sequence[int] | ResidualSpec, shape: Shape, inputs: int) -> nn.Module:
    """A network from (..., inputs) to images as vectors (..., D). Raises: ValueError: if the shape does not fit."""
    if isinstance(spec, ResidualSpec):
        return ResidualDecoder(spec, shape, inputs)
    return MLP((inputs, *spec, prod(shape)))


def _plain(x: Tensor) -> bool:
    """Whether there is nothing but numbers to compute, on a CPU, in float32: no gradients, no graph, no other type."""
    if not torch.is_inference_mode_enabled() or torch.compiler.is_compiling():
        return False
    return x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")


def elu(x: Tensor) -> Tensor:
    """As F.elu, to 1e-7. Many numbers take half its time, or a third: MKL has an e^x of its own for Intel processors,
    and elsewhere torch computes 2^x far faster than e^x.
    """
    if not _plain(x) or x.numel() < _MANY_NUMBERS:
        return F.elu(x)
    y = x.clamp(max=0).exp_() if _INTEL else (x * log2(e)).clamp_(max=0).exp2_()
    return torch.maximum(x, y.sub_(1), out=y)


class Linear(nn.Linear):
    """As nn.Linear. Many products take half its time on an AMD processor with AVX-512: oneDNN uses all of its vector
    unit, and MKL, which torch calls otherwise, does not. With AVX2 the two are alike, and on Intel's MKL is quicker.
    There 4 to 64 rows take half to nine tenths of the time in a network that was `lay_out`.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features)."""
        if _plain(x) and _ONEDNN and x.ndim > 1 and x.numel() * self.out_features >= _MANY_PRODUCTS:
            return F.linear(x.to_mkldnn(), self.weight, self.bias).to_dense()
        return super().forward(x)


def lay_out(network: nn.Module) -> None:
    """Have the weights of linear layers, which are to stay as they are, lie in memory as they are read soonest."""
    for layer in network.modules():
        if isinstance(layer, Linear) and _INTEL and layer.weight.device.type == "cpu":
            layer.weight.data = layer.weight.data.t().contiguous().t()


class MLP(nn.Module):
    """Linear layers with a nonlinearity between each two and none after the last.

    Args:
        sizes: the width of the input, of each hidden layer, and of the output; at least two.
        activation: the nonlinearity.
    """

    def __init__(self, sizes: Sequence[int], activation: Callable[[Tensor], Tensor] = F.relu) -> None:
        super().__init__()
        self.activation = activation
        self.layers = nn.ModuleList(Linear(a, b) for a, b in pairwise(sizes))

    def forward(self, x: Tensor) -> Tensor:
        """(..., sizes[0]) -> (..., sizes[-1])."""
        *hidden, last = self.layers
        for layer in hidden:
            x = self.activation(layer(x))
        return last(x)  # type: ignore[no-any-return]


class ResidualBlock(nn.Module):
    """x + conv(elu(conv(elu(x)))); the identity, before training.

    Source: He et al. 2016, "Identity Mappings in Deep Residual Networks"; the zero at the end stands in for the
    normalization (Zhang, Dauphin & Ma 2019, "Fixup Initialization").
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        for parameter in self.second.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same."""
        return x + self.second(elu(self.first(elu(x))))  # type: ignore[no-any-return]


class _Downsampling(nn.Module):
    """A convolution of stride 2, then residual blocks."""

    def __init__(self, incoming: int, outgoing: int, kernel: int, blocks: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(incoming, outgoing, kernel, stride=2, padding=kernel // 2)
        self.blocks = nn.Sequential(*(ResidualBlock(outgoing) for _ in range(blocks)))

    def forward(self, x: Tensor) -> Tensor:
        """(N, incoming, H, W) -> (N, outgoing, H/2, W/2)."""
        return self.blocks(self.convolution(x))  # type: ignore[no-any-return]


class _Upsampling(nn.Module):
    """Residual blocks, then a sub-pixel convolution: four channels become the four pixels of one.

    Source: Shi et al. 2016, "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
    Convolutional Neural Network".
    """

    def __init__(self, incoming: int, outgoing: int, kernel: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(ResidualBlock(incoming) for _ in range(blocks)))
        self.convolution = nn.Conv2d(incoming, 4 * outgoing, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, incoming, H, W) -> (N, outgoing, 2H, 2W)."""
        return F.pixel_shuffle(self.convolution(elu(self.blocks(x))), 2)


class ResidualEncoder(nn.Module):
    """Halvings of the image's sides, then fully connected layers."""

    def __init__(self, spec: ResidualSpec, shape: Shape, outputs: int) -> None:
        super().__init__()
        self.shape = shape
        sizes = zip(pairwise((shape[0], *spec.channels)), spec.blocks, strict=True)
        self.stages = nn.ModuleList(
            _Downsampling(*channels, kernel=3 if stage else 5, blocks=blocks)  # at the image a wider view costs nothing
            for stage, (channels, blocks) in enumerate(sizes)
        )
        rows, columns = _coarsest(shape, len(spec.channels), "encoder")
        self.last = MLP((spec.channels[-1] * rows * columns, *spec.hidden, outputs), elu)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., outputs)."""
        channels, rows, columns = self.shape
        pixels = x.reshape(-1, channels, rows * columns).transpose(1, 2)
        # The channels last in memory: twice as fast on a CPU.
        y = pixels.flatten(1).unflatten(1, (rows, columns, channels)).permute(0, 3, 1, 2)
        for number, stage in enumerate(self.stages):
            y = stage(elu(y) if number else y)
        return self.last(elu(y).flatten(1)).reshape(*x.shape[:-1], -1)  # type: ignore[no-any-return]


class ResidualDecoder(nn.Module):
    """Fully connected layers, then doublings of the image's sides."""

    def __init__(self, spec: ResidualSpec, shape: Shape, inputs: int) -> None:
        super().__init__()
        self.coarsest = (spec.channels[0], *_coarsest(shape, len(spec.channels), "decoder"))
        self.first = MLP((inputs, *spec.hidden, prod(self.coarsest)), elu)
        sizes = zip(pairwise((*spec.channels, shape[0])), spec.blocks, strict=True)
        last = len(spec.channels) - 1
        self.stages = nn.ModuleList(
            _Upsampling(*channels, kernel=3 if stage == last else 1, blocks=blocks)  # blocks follow all but the last
            for stage, (channels, blocks) in enumerate(sizes)
        )

    def forward(self, z: Tensor) -> Tensor:
        """(..., inputs) -> (..., D)."""
        y: Tensor = self.first(z).reshape(-1, *self.coarsest).contiguous(memory_format=torch.channels_last)
        for stage in self.stages:
            y = stage(y)
        return y.reshape(*z.shape[:-1], -1)


def _coarsest(shape: Shape, stages: int, side: str) -> tuple[int, int]:
    """The rows and columns that are left after so many halvings."""
    _, rows, columns = shape
    if rows % 2**stages or columns % 2**stages:
        raise ValueError(
            f"{side}: a residual network of {stages} stages expects sides that {2**stages} divides, "
            f"found {rows}x{columns}"
        )
    return rows // 2**stages, columns // 2**stages
