"""What serves computes what the model does, however its weights lie in memory."""

from pathlib import Path

import numpy as np
import pytest
import torch

from app.network import Network
from models import networks
from models.checkpoint import load_checkpoint
from tests.app.checkpoints import CONFIGS
from tests.elsewhere import ELSEWHERE, Elsewhere


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


@pytest.mark.parametrize("name", CONFIGS)
def test_every_function_is_the_same_on_another_device(checkpoints: dict[str, Path], digits, name: str) -> None:
    images = digits[:3].astype(np.float32) / 255
    here = Network(load_checkpoint(checkpoints[name]).model, (28, 28), 2, torch.device("cpu"))
    with Elsewhere():
        there = Network(load_checkpoint(checkpoints[name]).model, (28, 28), 2, ELSEWHERE)
        assert not there.inline  # what waits for another device waits in a thread
        codes = here.encode(images)[0]
        for function in here.passes:
            if function in ("from_noise", "to_noise") and "ae" in name:
                continue
            rows = images if function in ("encode", "reconstruct", "score") else codes
            found, expected = (network.passes[function](rows) for network in (there, here))
            for a, b in zip(found, expected, strict=True):
                if b is None:
                    assert a is None
                else:
                    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5, err_msg=function)
