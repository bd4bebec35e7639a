"""What serves computes what the model does, however its weights lie in memory."""

from pathlib import Path

import numpy as np
import pytest
import torch

from app.network import Network
from models import networks
from models.checkpoint import load_checkpoint


@pytest.mark.parametrize("name", ["mnist-mlp", "mnist-flow"])
def test_every_function_is_the_models(zoo: Path, digits, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "_INTEL", True)
    model, served = (load_checkpoint(zoo / name).model for _ in range(2))
    network = Network(served, (28, 28), 3, torch.device("cpu"))
    layers = [module for module in served.modules() if isinstance(module, networks.Linear)]
    assert layers and not any(layer.weight.is_contiguous() for layer in layers)
    images = digits[:14].astype(np.float32) / 255
    x = torch.from_numpy(images).flatten(1)
    z = torch.from_numpy(np.random.default_rng(0).standard_normal((14, model.latents), np.float32))
    mean, variance = model.encode(x)
    for function, rows, expected in (
        ("encode", images, [mean, variance]),
        ("decode", z.numpy(), [model.decode(z).unflatten(1, (28, 28))]),
        ("from_noise", z.numpy(), [model.from_noise(z)]),
        ("to_noise", z.numpy(), [model.to_noise(z)]),
    ):
        for found, column in zip(network.passes[function](rows), expected, strict=True):
            np.testing.assert_allclose(found, column.numpy(), rtol=1e-4, atol=1e-5, err_msg=function)
