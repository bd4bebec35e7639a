"""Networks that OpenVINO runs compute what torch's layers do."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from app import network
from app.compiled import Compiled, has_bfloat16
from app.engine import Engine
from app.network import Network
from models.checkpoint import load_checkpoint
from models.device import DeviceError
from models.novelty import percentile

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["mnist-conv", "mnist-flow"])
def test_every_function_is_torchs_to_rounding(zoo: Path, digits, name: str) -> None:
    models = [load_checkpoint(zoo / name).model for _ in range(2)]
    torchs = Network(models[0], (28, 28), 3, CPU)
    openvinos = Network(models[1], (28, 28), 3, CPU, "openvino")
    assert isinstance(models[1].encoder, Compiled) and isinstance(models[1].decoder, Compiled)
    images = digits[:33].astype(np.float32) / 255
    latents = np.random.default_rng(0).standard_normal((33, models[0].latents), np.float32)
    for function, rows in (("encode", images), ("decode", latents), ("reconstruct", images), ("score", images)):
        for count in (1, 6, 33):
            expected, found = (one.passes[function](rows[:count]) for one in (torchs, openvinos))
            for column, other in zip(expected, found, strict=True):
                np.testing.assert_allclose(other, column, rtol=1e-4, atol=1e-4, err_msg=function)


def test_an_mlp_stays_torchs(zoo: Path) -> None:
    model = load_checkpoint(zoo / "mnist-mlp").model
    Network(model, (28, 28), 3, CPU, "openvino")
    assert not any(isinstance(module, Compiled) for module in model.modules())


def test_the_weights_are_its_own(zoo: Path) -> None:
    model = load_checkpoint(zoo / "mnist-conv").model
    x = torch.rand(3, model.pixels)
    expected = model.encoder(x)
    compiled = Compiled(model.encoder, model.pixels, 1)
    for tensor in model.parameters():
        tensor.zero_()
    torch.testing.assert_close(compiled(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["mnist-conv", "mnist-flow"])
def test_half_the_precision_is_a_small_part_of_a_sigma_and_of_a_percentile(zoo: Path, digits, name: str) -> None:
    images = digits[:200].astype(np.float32) / 255
    checkpoint = load_checkpoint(zoo / name)
    whole = Network(checkpoint.model, (28, 28), 8, CPU)
    if not has_bfloat16():
        with pytest.raises(DeviceError, match=r"REPARAM_RUNTIME.*expected a processor with bfloat16"):
            Engine.load([zoo / name], runtime="openvino-bfloat16")
        return
    halved = Network(load_checkpoint(zoo / name).model, (28, 28), 8, CPU, "openvino-bfloat16")
    (mean, variance), (found, found_variance) = (one.encode(images) for one in (whole, halved))
    assert variance is not None and found_variance is not None
    off = np.abs(found - mean) / np.sqrt(variance)
    assert 1e-3 < np.sqrt((off**2).mean()) < 0.02 and off.max() < 0.15
    np.testing.assert_allclose(found_variance, variance, rtol=0.03)
    alone = np.concatenate([halved.encode(images[i : i + 1])[0] for i in range(20)])
    np.testing.assert_allclose(alone, found[:20], atol=1e-5)  # neighbours are none of its business
    (first,), (second,) = (one.decode(mean) for one in (whole, halved))
    assert np.sqrt(((first - second) ** 2).mean()) < 0.005
    assert checkpoint.config.novelty
    told = []
    for one in (whole, halved):
        log_likelihood, kl = one.score(images)
        assert kl is not None
        told.append(percentile(checkpoint.config.novelty, kl - log_likelihood))
    assert np.abs(told[0] - told[1]).max() < 1


@pytest.mark.parametrize("lazy", [False, True])
def test_a_processor_without_it_fails_the_start(
    checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch, lazy: bool
) -> None:
    monkeypatch.setattr(network, "has_bfloat16", lambda: False)
    folders = [checkpoints["tiny-2d"], checkpoints["tiny-conv"]]
    with pytest.raises(DeviceError, match=r"REPARAM_RUNTIME.*expected a processor with bfloat16"):
        Engine.load(folders, runtime="openvino-bfloat16", lazy=lazy)
    assert Engine.load(folders, runtime="openvino", lazy=lazy)


@pytest.mark.parametrize("number", [1e10, 3e38, float("inf"), float("nan")])
def test_what_is_no_number_to_torch_is_none(zoo: Path, number: float) -> None:
    """Else an input out of float32's range would be answered as if it were none."""
    decoder = load_checkpoint(zoo / "mnist-conv").model.decoder
    z = torch.full((2, 40), number) * torch.tensor([[1.0], [-1.0]])
    assert decoder(z).isfinite().equal(Compiled(decoder, 40, 1)(z).isfinite())


def test_no_thread_is_kept_to_a_core(zoo: Path) -> None:
    """Workers that each keep to the first one would share it."""
    allowed = os.sched_getaffinity(0)
    compiled = Compiled(load_checkpoint(zoo / "mnist-conv").model.encoder, 784, 2)
    compiled(torch.rand(64, 784))
    assert {frozenset(os.sched_getaffinity(int(task.name))) for task in Path("/proc/self/task").iterdir()} == {
        frozenset(allowed)
    }


def test_an_exchanged_model_is_compiled_too(checkpoints) -> None:
    engine = Engine.load([checkpoints["tiny-conv"]], runtime="openvino")
    successor = engine.model().successor()
    successor.load()
    assert successor._runtime == "openvino"


@pytest.mark.parametrize("command", ["serve", "doctor"])
def test_a_missing_package_is_one_line_that_says_what_to_install(command: str) -> None:
    code = (
        "import sys; from app import checks; checks.find_spec = lambda name: None;"
        f"from app.cli import main; sys.argv[1:] = [{command!r}]; main()"
    )
    environment = {"REPARAM_RUNTIME": "openvino", "REPARAM_MODELS": "mnist-conv"}
    end = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert end.returncode == 1
    assert end.stderr.count("\n") == 1 and "'.[openvino]'" in end.stderr


def test_left_out_nothing_of_it_is_imported() -> None:
    program = (
        "import sys; from starlette.testclient import TestClient; from app.main import create_app;"
        "from app.settings import Settings\n"
        "with TestClient(create_app(Settings(models='mnist-conv'))) as client: client.get('/healthz')\n"
        "print([name for name in sys.modules if name.startswith('openvino')])"
    )
    end = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert end.stdout.strip() == "[]"
