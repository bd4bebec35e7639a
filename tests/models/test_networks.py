from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import TypeAdapter, ValidationError
from torch import nn

from models import networks
from models.networks import MLP, Linear, NetworkSpec, ResidualBlock, ResidualSpec, elu, make_decoder, make_encoder
from models.strict import explain


def residual(*channels: int, blocks: int = 1) -> ResidualSpec:
    return ResidualSpec(channels=channels, blocks=(blocks,) * len(channels))


@pytest.mark.parametrize("sizes", [(3, 2), (5, 7, 4), (784, 256, 100), (2, 9, 3, 8, 1)])
def test_there_is_a_linear_layer_from_each_size_to_the_next(sizes: tuple[int, ...]) -> None:
    layers = [layer for layer in MLP(sizes).modules() if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in layers] == list(pairwise(sizes))


def test_the_output_is_what_numpy_computes_from_the_weights() -> None:
    network = MLP((6, 5, 4, 3))
    x = torch.randn(10, 2, 6)
    h = x.double().numpy()
    for i in range(3):
        h = h @ network.layers[i].weight.detach().double().numpy().T + network.layers[i].bias.detach().double().numpy()
        if i < 2:
            h = np.maximum(h, 0)
    assert (h < 0).any()  # there is no ReLU after the last layer
    np.testing.assert_allclose(network(x).detach().numpy(), h, rtol=1e-4, atol=1e-6)


def test_a_network_of_two_sizes_is_linear() -> None:
    network = MLP((4, 3)).double()
    a, b = torch.randn(2, 4, dtype=torch.float64)
    torch.testing.assert_close(network(a + b) + network(0 * a), network(a) + network(b))


SHAPES = [((1, 28, 28), residual(4, 6)), ((3, 8, 4), residual(5)), ((2, 24, 8), residual(3, 2, 4, blocks=0))]


@pytest.mark.parametrize(("shape", "spec"), SHAPES)
@pytest.mark.parametrize("leading", [(), (5,), (2, 5), (2, 1, 3)])
def test_a_residual_network_takes_vectors_under_any_leading_dimensions(
    shape: tuple[int, ...], spec: ResidualSpec, leading: tuple[int, ...]
) -> None:
    pixels = int(np.prod(shape))
    encoder, decoder = make_encoder(spec, shape, 7), make_decoder(spec, shape, 7)
    x, z = torch.randn(*leading, pixels), torch.randn(*leading, 7)
    assert encoder(x).shape == (*leading, 7)
    assert decoder(z).shape == (*leading, pixels)
    for network, given in ((encoder, x), (decoder, z)):
        rows = torch.stack([network(row[None])[0] for row in given.reshape(-1, given.shape[-1])])
        torch.testing.assert_close(network(given).reshape(rows.shape), rows, rtol=1e-4, atol=1e-5)


def test_fully_connected_layers_lie_between_the_coarsest_maps_and_the_code() -> None:
    spec = ResidualSpec(channels=(4,), blocks=(1,), hidden=(5, 6))
    encoder, decoder = make_encoder(spec, (1, 6, 4), 3), make_decoder(spec, (1, 6, 4), 3)
    assert [tuple(layer.weight.shape) for layer in encoder.last.layers] == [(5, 24), (6, 5), (3, 6)]
    assert [tuple(layer.weight.shape) for layer in decoder.first.layers] == [(5, 3), (6, 5), (24, 6)]
    assert decoder(encoder(torch.rand(2, 24))).shape == (2, 24)


def test_a_block_is_the_identity_before_training() -> None:
    block, x = ResidualBlock(6), torch.randn(2, 6, 5, 5)
    assert torch.equal(block(x), x)
    block(x).square().sum().backward()
    assert block.second.weight.grad is not None and block.second.weight.grad.abs().sum() > 0  # and yet it learns


def test_a_block_sees_the_pixels_two_away_and_no_more() -> None:
    block = ResidualBlock(2)
    nn.init.ones_(block.first.weight)
    nn.init.ones_(block.second.weight)
    x = torch.zeros(1, 2, 11, 11)
    there = x.clone()
    there[..., 5, 5] = 1.0
    rows, columns = (block(there) - block(x)).abs().sum((0, 1)).nonzero().unbind(1)
    assert {(rows.min().item(), rows.max().item()), (columns.min().item(), columns.max().item())} == {(3, 7)}


def test_the_sides_halve_where_the_encoder_goes_and_double_where_the_decoder_does() -> None:
    sizes: list[tuple[int, ...]] = []

    def watch(module: nn.Module) -> Any:
        def keep(_: nn.Module, __: Any, output: torch.Tensor) -> None:
            sizes.append(tuple(output.shape))

        for stage in module.stages:  # type: ignore[union-attr]
            stage.register_forward_hook(keep)
        return module

    watch(make_encoder(residual(4, 6), (1, 28, 28), 3))(torch.randn(2, 784))
    assert sizes == [(2, 4, 14, 14), (2, 6, 7, 7)]
    sizes.clear()
    watch(make_decoder(residual(6, 4), (1, 28, 28), 3))(torch.randn(2, 3))
    assert sizes == [(2, 4, 14, 14), (2, 1, 28, 28)]


def test_neighbouring_outputs_of_the_decoder_are_neighbouring_pixels() -> None:
    """Of a decoder that copies its coarse picture, every pixel is drawn as two by two."""
    decoder = make_decoder(ResidualSpec(channels=(1,), blocks=(0,)), (1, 6, 4), 6)
    with torch.no_grad():
        decoder.first.layers[0].weight.copy_(torch.eye(6))
        for parameter in (decoder.first.layers[0].bias, *decoder.stages[0].convolution.parameters()):
            parameter.zero_()
        decoder.stages[0].convolution.weight[:, 0, 1, 1] = 1.0
    coarse = torch.arange(1.0, 7.0)
    expected = coarse.reshape(3, 2).repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert torch.equal(decoder(coarse[None]).reshape(6, 4), expected)


@pytest.mark.parametrize("make", [make_encoder, make_decoder])
@pytest.mark.parametrize("shape", [(1, 28, 30), (1, 30, 28), (1, 14, 14), (1, 2, 2)])
def test_sides_that_cannot_be_halved_so_often_are_an_error(
    make: Callable[..., nn.Module], shape: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=rf"2 stages expects sides that 4 divides, found {shape[1]}x{shape[2]}$"):
        make(residual(4, 4), shape, 3)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (None, "expected a list of widths, or a table of channels and blocks, found None"),
        ("256", "expected a list of widths, or a table of channels and blocks, found '256'"),
        (256, "expected a list of widths, or a table of channels and blocks, found 256"),
        ([256, 0], "widths.1: input should be greater than 0, found 0"),
        ([2.5], "widths.0: input should be a valid integer"),
        ({}, "residual.channels: field required; residual.blocks: field required"),
        ({"channels": [], "blocks": []}, "residual.channels: tuple should have at least 1 item"),
        ({"channels": [8], "blocks": [-1]}, "residual.blocks.0: input should be greater than or equal to 0, found -1"),
        (
            {"channels": [8], "blocks": [1, 1]},
            "residual: expected as many blocks as channels, a number for each stage, found 2 blocks and 1 channels",
        ),
        ({"channels": [8], "blocks": [1], "kernel": 3}, "residual.kernel: extra inputs are not permitted"),
    ],
)
def test_what_describes_no_network_is_told_in_its_own_words(spec: object, expected: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(NetworkSpec).validate_python(spec)
    said = explain(caught.value).removeprefix("the whole: ")
    assert said.startswith(expected)
    assert ("widths" in said) + ("residual" in said) <= 1 or "table" in said


def test_a_network_is_described_by_widths_or_by_stages() -> None:
    read = TypeAdapter(NetworkSpec).validate_python
    assert read([8, 4]) == read((8, 4)) == (8, 4)
    assert read([]) == ()
    assert read({"channels": [8, 4], "blocks": [0, 2]}) == ResidualSpec(channels=(8, 4), blocks=(0, 2))
    assert read(residual(3)) == residual(3)


def _served(network: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return network(x)


@pytest.mark.parametrize("intel", [False, True])
@pytest.mark.parametrize("shape", [(5,), (20_000,), (16, 32, 14, 14)])
def test_elu_is_torchs(shape: tuple[int, ...], intel: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "_INTEL", intel)
    x = 10 * torch.randn(shape)
    x.flatten()[:5] = torch.tensor([0.0, -1e-30, float("inf"), float("-inf"), float("nan")])
    expected = F.elu(x.double()).float()
    torch.testing.assert_close(_served(elu, x), expected, rtol=1e-7, atol=1e-7, equal_nan=True)
    torch.testing.assert_close(elu(x), expected, rtol=1e-7, atol=1e-7, equal_nan=True)


def test_elu_leaves_its_input_and_the_order_in_memory_as_they_are() -> None:
    x = torch.randn(16, 32, 14, 14).to(memory_format=torch.channels_last)
    before = x.clone()
    assert _served(elu, x).stride() == x.stride()
    assert torch.equal(x, before)


@pytest.mark.parametrize("onednn", [False, True])
@pytest.mark.parametrize("leading", [(1,), (7,), (600,), (3, 200), (0,)])
def test_a_linear_layer_is_torchs_however_many_rows(
    leading: tuple[int, ...], onednn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "_ONEDNN", onednn and torch.backends.mkldnn.is_available())
    layer = Linear(784, 256)
    x = torch.rand(*leading, 784)
    expected = F.linear(x.double(), layer.weight.double(), layer.bias.double()).float()
    torch.testing.assert_close(_served(layer, x), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("intel", [False, True])
def test_weights_may_lie_otherwise_where_it_is_quicker(intel: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "_INTEL", intel)
    layer = Linear(784, 256)
    weight, x = layer.weight.detach().clone(), torch.rand(14, 784)
    before = _served(layer, x)
    networks.lay_out(layer)
    assert torch.equal(layer.weight, weight) and layer.weight.is_contiguous() != intel
    torch.testing.assert_close(_served(layer, x), before, rtol=1e-5, atol=1e-6)


def test_a_linear_layer_of_many_rows_learns_and_is_cast() -> None:
    layer = Linear(784, 256)
    x = torch.rand(600, 784)
    layer(x).sum().backward()
    assert layer.weight.grad is not None
    torch.testing.assert_close(layer.weight.grad, x.sum(0).expand(256, -1), rtol=1e-4, atol=1e-4)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    assert _served(layer.double(), x.double()).dtype == torch.float64


@pytest.mark.parametrize("spec", [(256,), residual(32, 32)])
def test_a_network_can_be_exported_with_any_number_of_rows(spec: tuple[int, ...] | ResidualSpec) -> None:
    network = make_encoder(spec, (1, 28, 28), 100).requires_grad_(False)
    batch = torch.export.Dim("batch", min=1, max=4096)
    with torch.inference_mode():
        exported = torch.export.export(network, (torch.zeros(8, 784),), dynamic_shapes=({0: batch},)).module()
        for rows in (1, 200):
            x = torch.rand(rows, 784)
            torch.testing.assert_close(exported(x), network(x), rtol=1e-4, atol=1e-5)
