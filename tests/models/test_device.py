"""Nothing is computed of tensors on two devices, and a model gives the same wherever it lies."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from models.checkpoint import load_checkpoint, read_config
from models.data import Digits, load_mnist
from models.device import DeviceError, describe, find_device
from models.evaluation import evaluate
from models.evaluation.pictures import draw_pictures
from models.training import EpochReport, Reporter, train
from tests.app.checkpoints import CONFIGS
from tests.elsewhere import ELSEWHERE, Elsewhere
from tests.models.training.recipes import first, make_recipe

CONVOLUTIONS = {"channels": [4, 8], "blocks": [1, 1], "hidden": [12]}
RECIPES: dict[str, dict[str, Any]] = {
    "elbo": {"objective": {"kind": "elbo", "beta": 0.9, "free_nats": 0.1}, "training__clip_norm": 10.0},
    "convolutions under a flow": {
        "model__architecture": {"encoder": CONVOLUTIONS, "latents": 3, "decoder": CONVOLUTIONS},
        "model__prior": {"kind": "flow", "couplings": 2, "hidden": [8]},
        "training__average_decay": 0.99,
        "training__stored": "float16",
    },
    "iwae": {"objective": {"kind": "iwae", "samples": 3}, "training__kl_warmup_steps": 3},
    "iwae, resampled": {"objective": {"kind": "iwae", "samples": 3, "resampled": 1}},
    "iwae, laplace": {"objective": {"kind": "iwae", "samples": 3, "proposal": "laplace"}},
    "gaussian": {"model__likelihood": {"kind": "gaussian", "sigma": 0.5}, "data__binarize": False},
    "ae": {"model__kind": "ae", "data__binarize": False},
    "dae": {
        "model__kind": "dae",
        "model__architecture__corruption": {"gaussian": 0.5, "masking": 0.5},
        "data__binarize": False,
    },
    "linear": {
        "model": {
            "kind": "linear",
            "architecture": {"latents": 3},
            "likelihood": {"kind": "linear-gaussian"},
        },
        "data__binarize": False,
        "training": None,
    },
}


@pytest.fixture(scope="module")
def few(mnist: Path) -> Digits:
    return first(load_mnist(mnist, "train"), 250)


def test_the_other_device_refuses_what_a_gpu_refuses() -> None:
    with Elsewhere():
        there = torch.ones(2, 3).to(ELSEWHERE)
        assert there.device == ELSEWHERE and (there + there).device == ELSEWHERE
        assert (there + 1).cpu().tolist() == [[2.0] * 3] * 2
        with pytest.raises(RuntimeError, match="same device"):
            there + torch.ones(3)
        with pytest.raises(RuntimeError, match="generator of the device"):
            torch.randn(3, generator=torch.Generator(), device=ELSEWHERE)
        with pytest.raises(RuntimeError):
            there.numpy()


@pytest.mark.parametrize("name", RECIPES)
def test_a_run_on_another_device_ends_with_the_same_weights(name: str, tmp_path: Path, few: Digits) -> None:
    recipe = make_recipe(**{"data__validation": 50} | RECIPES[name])
    train(recipe, few, tmp_path / "here")
    with Elsewhere():
        train(recipe, few, tmp_path / "there", device=ELSEWHERE)
    here, there = (load_checkpoint(tmp_path / place / "checkpoint") for place in ("here", "there"))
    assert there.config.weights.sha256 == here.config.weights.sha256
    assert there.config.novelty and here.config.novelty
    assert there.config.novelty.quantiles == pytest.approx(here.config.novelty.quantiles, rel=1e-5)
    where = "cpu" if name == "linear" else str(ELSEWHERE)
    assert (here.config.training["device"], there.config.training["device"]) == ("cpu", where)


def test_a_run_that_begins_elsewhere_can_end_here(tmp_path: Path, few: Digits) -> None:
    start = make_recipe(training__epochs=1)
    train(start, few, tmp_path / "start")
    recipe = make_recipe(start=str(tmp_path / "start" / "checkpoint"), training__start_share=0.5)
    train(recipe, few, tmp_path / "whole")

    class Stopping(Reporter):
        def epoch(self, report: EpochReport) -> None:
            if report.epoch == 2:
                raise KeyboardInterrupt

    with Elsewhere(), pytest.raises(KeyboardInterrupt):
        train(recipe, few, tmp_path / "parts", device=ELSEWHERE, reporter=Stopping())
    train(recipe, few, tmp_path / "parts", resume=True)
    whole, parts = (load_file(tmp_path / run / "checkpoint" / "model.safetensors") for run in ("whole", "parts"))
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    assert read_config(tmp_path / "parts" / "checkpoint").training["device"] == f"{ELSEWHERE}, cpu"


@pytest.mark.parametrize("kind", CONFIGS)
def test_what_is_measured_on_another_device_is_the_same(
    kind: str, checkpoints: dict[str, Path], mnist: Path, tmp_path: Path
) -> None:
    digits, training = (first(load_mnist(mnist, part), 60) for part in ("test", "train"))
    loaded = load_checkpoint(checkpoints[kind])
    options: dict[str, Any] = {"training": training, "novelty": loaded.config.novelty, "unlike": training, "samples": 4}
    here = evaluate(loaded.model, digits, **options)
    with Elsewhere():
        there = evaluate(loaded.model.to(ELSEWHERE), digits, **options)
        assert len(draw_pictures(loaded.model, digits, there, tmp_path, 0)) >= 3
    assert there.keys() == here.keys()
    for name, figure in here.items():
        assert there[name] == (figure if isinstance(figure, str) else pytest.approx(figure, rel=1e-5)), name


def test_a_gpu_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert find_device("auto") == find_device("cpu") == torch.device("cpu")
    with pytest.raises(DeviceError, match="expected a CUDA device that this build of torch can use, found none"):
        find_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA H200")
    before = torch.backends.cudnn.allow_tf32
    try:
        assert find_device("auto") == find_device("cuda") == torch.device("cuda")
        assert not torch.backends.cudnn.allow_tf32
    finally:
        torch.backends.cudnn.allow_tf32 = before
    assert find_device("cpu") == torch.device("cpu")
    assert describe(find_device("cpu")) == "cpu" and describe(torch.device("cuda")) == "cuda (NVIDIA H200)"
