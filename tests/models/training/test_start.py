"""Runs that begin with a checkpoint's weights."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from models.checkpoint import load_checkpoint
from models.data import Digits
from models.data.pixels import as_vectors
from models.errors import RecipeError
from models.training import Reporter, train
from models.vae import VAE
from tests.models.tiny import CONFIG, save_tiny
from tests.models.training.recipes import first, make_recipe

FLOW = {"kind": "flow", "couplings": 2, "hidden": [8]}
SAME = CONFIG.model_dump(mode="json")["architecture"]


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """A checkpoint to start from."""
    save_tiny(tmp_path / "start", seed=3)
    return tmp_path / "start"


def recipe(start: Path | str, **changes: Any) -> Any:
    # So small a step that after one epoch the weights are still where they began.
    changes = {"training__epochs": 1, "training__learning_rate": 1e-12, "model__architecture": SAME} | changes
    return make_recipe(start=str(start), **changes)


def message(digits: Digits, out: Path, plan: Any) -> str:
    with pytest.raises(RecipeError) as caught:
        train(plan, digits, out, threads=1)
    assert len(str(caught.value).splitlines()) == 1
    assert not out.exists()  # nothing was written
    return str(caught.value)


def test_an_empty_name_is_no_start(tmp_path: Path, digits: Digits) -> None:
    said = message(digits, tmp_path / "run", recipe(""))
    assert said == "start: expected the name or the folder of a checkpoint, found an empty name"


def test_a_run_begins_with_the_checkpoints_weights_and_says_so(tmp_path: Path, digits: Digits, start: Path) -> None:
    train(recipe(start), digits, tmp_path / "run", threads=1)
    kept = load_file(tmp_path / "run" / "checkpoint" / "model.safetensors")
    for key, tensor in load_file(start / "model.safetensors").items():
        torch.testing.assert_close(kept[key], tensor, rtol=0, atol=1e-8)
    config = load_checkpoint(tmp_path / "run" / "checkpoint").config
    assert config.training["start"] == {"name": str(start), "sha256": load_checkpoint(start).config.weights.sha256}
    assert config.training["recipe"]["start"] == str(start)


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_a_prior_that_the_checkpoint_lacks_begins_as_the_identity(
    tmp_path: Path, digits: Digits, start: Path, decay: float
) -> None:
    plan = recipe(start, model__prior=FLOW, training__average_decay=decay)
    train(plan, digits, tmp_path / "run", threads=1)
    model = load_checkpoint(tmp_path / "run" / "checkpoint").model
    assert isinstance(model, VAE)
    codes = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model.to_noise(codes).sort(-1).values, codes.sort(-1).values, rtol=0, atol=1e-6)
    started = load_checkpoint(start).model
    torch.testing.assert_close(model.decode(codes), started.decode(codes))


def test_what_is_kept_may_lie_between_the_start_and_where_the_run_went(
    tmp_path: Path, digits: Digits, start: Path
) -> None:
    kept, losses = {}, {}
    for share in (0.0, 0.25):
        out = tmp_path / str(share)
        changes = {"training__learning_rate": 0.01, "training__average_decay": 0.9, "training__start_share": share}
        train(recipe(start, **changes), digits, out, threads=1)
        kept[share] = load_file(out / "checkpoint" / "model.safetensors")
        losses[share] = json.loads((out / "metrics.jsonl").read_text())
    for key, begun in load_file(start / "model.safetensors").items():
        assert not kept[0.0][key].equal(begun)
        torch.testing.assert_close(kept[0.25][key], 0.75 * kept[0.0][key] + 0.25 * begun)
    assert losses[0.0]["negative_elbo"] == losses[0.25]["negative_elbo"]  # what is learnt goes on from the whole way
    assert losses[0.0]["validation_negative_elbo"] != losses[0.25]["validation_negative_elbo"]


NARROW: dict[str, Any] = {
    "encoder": {"channels": [2, 3], "blocks": [1, 0], "hidden": [6]},
    "latents": 4,
    "decoder": {"channels": [3, 2], "blocks": [0, 1], "hidden": [5]},
}
WIDE: dict[str, Any] = {
    "encoder": {"channels": [4, 3], "blocks": [2, 1], "hidden": [9]},
    "latents": 4,
    "decoder": {"channels": [3, 5], "blocks": [1, 2], "hidden": [7]},
}


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        (NARROW, WIDE),
        ({"encoder": [16], "latents": 4, "decoder": [12]}, {"encoder": [20], "latents": 4, "decoder": [13]}),
    ],
)
def test_a_wider_and_a_deeper_model_begins_as_what_its_start_was(
    tmp_path: Path, digits: Digits, narrow: dict[str, Any], wide: dict[str, Any]
) -> None:
    flow = {"model__prior": FLOW, "training__learning_rate": 0.01}
    train(make_recipe(**flow, model__architecture=narrow), digits, tmp_path / "start", threads=1)
    started = load_checkpoint(tmp_path / "start" / "checkpoint").model
    wider = recipe(tmp_path / "start" / "checkpoint", model__architecture=wide, model__prior=FLOW | {"hidden": [11]})
    train(wider, digits, tmp_path / "run", threads=1)
    model = load_checkpoint(tmp_path / "run" / "checkpoint").model
    x = as_vectors(first(digits, 9))
    codes = started.encode(x)
    torch.testing.assert_close(model.encode(x), codes, rtol=0, atol=1e-6)
    torch.testing.assert_close(model.decode(codes.mean), started.decode(codes.mean), rtol=0, atol=1e-6)
    torch.testing.assert_close(model.to_noise(codes.mean), started.to_noise(codes.mean), rtol=0, atol=1e-6)


DENSE = {"encoder": [16], "latents": 4, "decoder": [12]}


@pytest.mark.parametrize(
    ("begun", "changed", "expected"),
    [
        (DENSE, {"decoder": [12, 784]}, "expected 2 layers of decoder, as in {}, found 3"),
        (DENSE, {"encoder": [16, 16]}, "expected 2 layers of encoder, as in {}, found 3"),
        (DENSE, {"encoder": []}, "expected 2 layers of encoder, as in {}, found 1"),
        (
            NARROW,
            {"encoder": NARROW["encoder"] | {"hidden": [147, 147]}},
            "expected 2 layers of encoder.last, as in {}, found 3",
        ),
        (
            {"encoder": {"channels": [8], "blocks": [0]}, "latents": 4, "decoder": [5]},
            {"encoder": {"channels": [8, 40], "blocks": [0, 0]}},
            "expected 1 stages of encoder, as in {}, found 2",
        ),
    ],
)
def test_a_network_with_more_layers_than_its_start_is_refused(
    tmp_path: Path, digits: Digits, begun: dict[str, Any], changed: dict[str, Any], expected: str
) -> None:
    started = tmp_path / "start" / "checkpoint"
    train(make_recipe(model__architecture=begun, training__epochs=1), digits, tmp_path / "start", threads=1)
    said = message(digits, tmp_path / "run", recipe(started, model__architecture=begun | changed))
    assert said == f"start: {expected.format(started)}"


def test_the_scale_of_a_likelihood_goes_on_too(tmp_path: Path, digits: Digits) -> None:
    grey = {"model__likelihood": {"kind": "linear-gaussian"}, "data__binarize": False}
    train(make_recipe(**grey, model__architecture=SAME), digits, tmp_path / "start", threads=1)
    train(recipe(tmp_path / "start" / "checkpoint", **grey), digits, tmp_path / "run", threads=1)
    begun, kept = (load_file(tmp_path / run / "checkpoint" / "model.safetensors") for run in ("start", "run"))
    assert begun.keys() == kept.keys() and any(not tensor.ndim for tensor in begun.values())
    for key, tensor in begun.items():
        torch.testing.assert_close(kept[key], tensor, rtol=0, atol=1e-8)


def test_new_units_learn(tmp_path: Path, digits: Digits, start: Path) -> None:
    wide = {"encoder": [20], "latents": 4, "decoder": [15]}
    train(recipe(start, model__architecture=wide, training__learning_rate=1e-3), digits, tmp_path / "run", threads=1)
    weights = load_file(tmp_path / "run" / "checkpoint" / "model.safetensors")
    heard = (weights["encoder.layers.1.weight"][:, 16:], weights["decoder.layers.1.weight"][:, 12:])
    assert all((part.abs() > 1e-6).float().mean() > 0.5 for part in heard)


def test_a_run_goes_on_from_a_run(tmp_path: Path, digits: Digits) -> None:
    first = train(make_recipe(training__epochs=4, training__learning_rate=0.01), digits, tmp_path / "a", threads=1)
    plan = make_recipe(start=str(tmp_path / "a" / "checkpoint"), training__epochs=1)
    second = train(plan, digits, tmp_path / "b", threads=1)
    assert first.best_negative_elbo is not None and second.best_negative_elbo is not None
    assert second.best_negative_elbo < first.best_negative_elbo + 1


def test_what_names_no_checkpoint_is_one_clear_line(tmp_path: Path, digits: Digits, start: Path) -> None:
    said = message(digits, tmp_path / "run", recipe(tmp_path / "none"))
    assert said == f"start: {tmp_path / 'none'}: expected a checkpoint folder, found nothing"
    assert "start: " in message(digits, tmp_path / "run", recipe("no-such-model"))
    (start / "model.safetensors").write_bytes(b"damaged")
    assert message(digits, tmp_path / "run", recipe(start)).startswith(f"start: {start}/model.safetensors: expected sh")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"model__architecture": SAME | {"latents": 5}}, "found encoder.layers.1.weight (8, 16) in {}, here (10, 16)"),
        ({"model__kind": "ae"}, "found encoder.layers.1.weight (8, 16) in {}, here (4, 16)"),
        (
            {"model__architecture": SAME | {"decoder": [11]}},
            "found decoder.layers.0.weight (12, 4) in {}, here (11, 4)",
        ),
        (
            {"model__architecture": SAME | {"encoder": {"channels": [2], "blocks": [0]}}},
            "found encoder.layers.0.weight (16, 784) in {}, here no such tensor",
        ),
    ],
)
def test_weights_that_do_not_fit_are_named(
    tmp_path: Path, digits: Digits, start: Path, changes: dict[str, Any], expected: str
) -> None:
    said = message(digits, tmp_path / "run", recipe(start, **changes))
    assert said.startswith(f"start: expected weights that fit this model, {expected.format(start)}")


def test_a_decoder_is_not_read_as_one_of_another_likelihood(tmp_path: Path, digits: Digits, start: Path) -> None:
    grey = {"model__likelihood": {"kind": "gaussian", "sigma": 0.5}, "data__binarize": False}
    said = message(digits, tmp_path / "run", recipe(start, **grey))
    assert said == f"start: expected the likelihood 'bernoulli', as in {start}, found 'gaussian'"


@pytest.mark.parametrize("more", [{}, {"training__start_share": 0.5}])
def test_a_resumed_run_needs_the_start_no_more(
    tmp_path: Path, digits: Digits, start: Path, more: dict[str, Any]
) -> None:
    changes = {"training__epochs": 2, "training__learning_rate": 1e-3} | more
    train(recipe(start, **changes), digits, tmp_path / "whole", threads=1)

    class Interrupt(Reporter):
        def epoch(self, *_: Any) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe(start, **changes), digits, tmp_path / "run", threads=1, reporter=Interrupt())
    save_tiny(start, seed=4)  # another model, where the first one was
    train(recipe(start, **changes), digits, tmp_path / "run", threads=1, resume=True)
    for name in ("model.safetensors", "config.json", "README.md"):
        files = [(tmp_path / run / "checkpoint" / name).read_bytes() for run in ("run", "whole")]
        assert files[0] == files[1]
