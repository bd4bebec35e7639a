from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from models.networks import MLP


@pytest.mark.parametrize("sizes", [(3, 2), (5, 7, 4), (784, 256, 100), (2, 9, 3, 8, 1)])
def test_there_is_a_linear_layer_from_each_size_to_the_next(sizes: tuple[int, ...]) -> None:
    layers = [layer for layer in MLP(sizes).modules() if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in layers] == list(pairwise(sizes))


def test_the_output_is_what_numpy_computes_from_the_weights() -> None:
    torch.manual_seed(0)
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
    torch.manual_seed(0)
    network = MLP((4, 3)).double()
    a, b = torch.randn(2, 4, dtype=torch.float64)
    torch.testing.assert_close(network(a + b) + network(0 * a), network(a) + network(b))
