"""What a recipe may ask of a run besides: objectives, precision, the gradient's length, other kinds and priors."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from models.autoencoder import Autoencoder
from models.checkpoint import load_checkpoint, read_config, update_checkpoint
from models.data import Digits
from models.data.pixels import as_vectors
from models.errors import RecipeError, TrainingError
from models.novelty import fit_novelty
from models.recipe import Elbo, Iwae
from models.training import Reporter, load_recipe, train
from models.training import loop as loop_module
from models.training import validation as validation_module
from models.training.objectives import Bound
from models.training.schedules import moving_average
from models.training.state import STATE_FILE
from models.training.validation import validate
from tests.models.training.recipes import first, make_recipe, write_recipe

CONV = {
    "latents": 4,
    "encoder": {"channels": [4], "blocks": [1]},
    "decoder": {"channels": [4, 4], "blocks": [0, 1]},
}
FLOW = {"kind": "flow", "couplings": 2, "hidden": [8]}
GREY = {"data__binarize": False}

EVERY: dict[str, dict[str, Any]] = {
    "iwae": {"objective": {"kind": "iwae", "samples": 3}},
    "laplace": {"objective": {"kind": "iwae", "samples": 3, "proposal": "laplace"}, "model__prior": FLOW},
    "beta": {"objective": {"kind": "elbo", "beta": 0.5, "free_nats": 0.1}},
    "flow": {"model__prior": FLOW},
    "conv": {"model__architecture": CONV, "training__clip_norm": 100.0},
    "ae": {"model__kind": "ae"},
    "dae": {"model__kind": "dae", "model__architecture": {**CONV, "corruption": {"gaussian": 0.5, "masking": 0.5}}},
    "gaussian": {"model__likelihood": {"kind": "gaussian", "sigma": 0.5}, **GREY},
    "linear-gaussian": {"model__likelihood": {"kind": "linear-gaussian"}, **GREY},
}


class Reports(Reporter):
    def __init__(self) -> None:
        self.losses: list[float] = []

    def epoch(self, report: Any) -> None:
        self.losses.append(report.negative_elbo)


@pytest.mark.parametrize("changes", EVERY.values(), ids=EVERY)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_everything_learns_in_either_precision_and_is_kept_in_full(
    tmp_path: Path, digits: Digits, changes: dict[str, Any], precision: str
) -> None:
    reports = Reports()
    changes = {"training__learning_rate": 0.01, "data__validation": 20} | changes
    train(
        make_recipe(training__precision=precision, **changes), first(digits, 220), tmp_path, threads=1, reporter=reports
    )
    assert reports.losses[2] < reports.losses[1] < reports.losses[0]
    model = load_checkpoint(tmp_path / "checkpoint").model
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32}
    state = load_file(tmp_path / STATE_FILE)
    assert {tensor.dtype for key, tensor in state.items() if "n_averaged" not in key} == {torch.float32}


def test_half_precision_is_nearly_the_whole_and_not_it(tmp_path: Path, digits: Digits) -> None:
    losses = []
    for precision in ("float32", "bfloat16"):
        reports = Reports()
        train(make_recipe(training__precision=precision), digits, tmp_path / precision, threads=1, reporter=reports)
        losses.append(reports.losses)
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)


def test_weights_are_kept_in_half_the_room_and_read_in_full(tmp_path: Path, digits: Digits) -> None:
    for name, changes in (("whole", {}), ("half", {"training__stored": "float16"})):
        train(make_recipe(data__validation=20, **changes), first(digits, 220), tmp_path / name, threads=1)
    files = [tmp_path / name / "checkpoint" / "model.safetensors" for name in ("whole", "half")]
    assert 1.9 < files[0].stat().st_size / files[1].stat().st_size < 2.1
    full, rounded = (load_file(file) for file in files)
    models = [load_checkpoint(file.parent).model for file in files]
    for key, tensor in models[1].state_dict().items():
        assert rounded[key].dtype == torch.float16 and tensor.dtype == torch.float32
        assert torch.equal(tensor, full[key].half().float()) and torch.equal(models[0].state_dict()[key], full[key])
    state = load_file(tmp_path / "half" / STATE_FILE)  # what a run goes on from is not rounded
    assert {tensor.dtype for key, tensor in state.items() if "n_averaged" not in key} == {torch.float32}
    update_checkpoint(files[1].parent, read_config(files[1].parent).weights.sha256, metrics={"some": 1.0})
    assert torch.equal(load_file(files[1])["encoder.layers.0.weight"], rounded["encoder.layers.0.weight"])


def test_what_is_validated_is_what_is_stored(tmp_path: Path, digits: Digits) -> None:
    recipe = make_recipe(training__stored="float16")
    train(recipe, digits, tmp_path, threads=1)
    checkpoint = load_checkpoint(tmp_path / "checkpoint")
    held_out = as_vectors(Digits(digits.images[300:], digits.labels[300:]))
    found = validate(checkpoint.model, held_out, recipe, 1)
    assert found and checkpoint.config.metrics["validation_negative_elbo_nats"] == found.negative_elbo


def test_weights_beyond_what_is_stored_are_never_kept(tmp_path: Path, digits: Digits) -> None:
    # Adam's first step is of the learning rate's length: finite weights, but not as float16.
    changes = {"data__validation": 0, "training__epochs": 1, "training__batch_size": 50, "training__learning_rate": 1e5}
    with pytest.raises(TrainingError, match=r"^the weights .* not finite at step 1 \(epoch 1\)"):
        train(make_recipe(training__stored="float16", **changes), first(digits, 50), tmp_path, threads=1)
    assert not (tmp_path / "checkpoint").exists()


def test_the_gradient_is_shortened_to_the_recipes_length(
    tmp_path: Path, digits: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: list[float] = []
    clip = torch.nn.utils.clip_grad_norm_

    def watch(parameters: Any, norm: float) -> Tensor:
        parameters = list(parameters)
        before = clip(parameters, norm)
        after = torch.stack([p.grad.norm() for p in parameters if p.grad is not None]).norm().item()
        lengths.append(after)
        assert after == pytest.approx(min(norm, before.item()), rel=1e-4)
        return before

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", watch)
    train(make_recipe(training__clip_norm=30.0, training__epochs=1), digits, tmp_path / "clipped", threads=1)
    assert len(lengths) == 6 and max(lengths) <= 30.01
    train(make_recipe(training__epochs=1), digits, tmp_path / "free", threads=1)
    assert len(lengths) == 6
    weights = [(tmp_path / name / "checkpoint" / "model.safetensors").read_bytes() for name in ("clipped", "free")]
    assert weights[0] != weights[1]


def test_validation_draws_no_more_at_once_for_more_samples(
    tmp_path: Path, digits: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    original = validation_module.bound

    def watch(
        model: Autoencoder, x: Tensor, objective: Elbo | Iwae, weight: float, generator: torch.Generator
    ) -> Bound:
        seen.append(len(x))
        return original(model, x, objective, weight, generator)

    monkeypatch.setattr(validation_module, "bound", watch)
    assert loop_module.bound is original
    changes = {"training__epochs": 1, "training__batch_size": 300}
    train(make_recipe(objective={"kind": "iwae", "samples": 30}, **changes), digits, tmp_path / "a", threads=1)
    assert seen == [33, 33, 33, 1]
    train(make_recipe(**changes), digits, tmp_path / "b", threads=1)
    assert seen[4:] == [100]


def test_the_importance_weighted_bound_may_wait_for_the_elbo(tmp_path: Path, digits: Digits) -> None:
    objectives: dict[str, dict[str, Any]] = {
        "elbo": {"kind": "elbo"},
        "late": {"kind": "iwae", "samples": 3, "from_epoch": 2},
        "iwae": {"kind": "iwae", "samples": 3},
    }
    for name, objective in objectives.items():
        train(make_recipe(objective=objective), digits, tmp_path / name, threads=1)
    lines = {
        name: [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in objectives
    }
    for figure in ("negative_elbo", "validation_negative_elbo"):
        elbo, late, iwae = ([line[figure] for line in lines[name]] for name in objectives)
        assert late[0] == elbo[0] != iwae[0]
        assert late[1] != elbo[1]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"model__kind": "ae", "objective": {"kind": "elbo", "beta": 2.0}},
            "objective: kind 'ae' has log p(x|z) alone to maximise: leave it out",
        ),
        (
            {"model__kind": "ae", "objective": {"kind": "iwae", "samples": 5}},
            "objective: kind 'ae' has log p(x|z) alone to maximise: leave it out",
        ),
        (
            {"objective": {"kind": "iwae", "samples": 1}},
            "objective.samples: input should be greater than or equal",
        ),
        (
            {"objective": {"kind": "elbo", "beta": -1.0}},
            "objective.beta: input should be greater than or equal to",
        ),
        (
            {"objective": {"kind": "iwae", "samples": 5, "from_epoch": 4}},
            "objective.from_epoch: expected an epoch of the 3 in training.epochs, found 4",
        ),
        ({"objective": {"kind": "iwae", "samples": 5, "beta": 2.0}}, "objective.beta: extra inputs are not permitted"),
        ({"objective": {"kind": "vimco"}}, "objective: expected the kind elbo or iwae, found {'kind': 'vimco'}"),
        ({"objective": {"kind": ["elbo"]}}, "objective: expected the kind elbo or iwae, found {'kind': ['elbo']}"),
        ({"objective": {"beta": -1.0}}, "objective.beta: input should be greater than or equal to 0, found -1.0"),
        ({"training__precision": "int8"}, "training.precision: input should be 'float32' or 'bfloat16', found 'int8'"),
        ({"training__clip_norm": 0.0}, "training.clip_norm: input should be greater than 0, found 0.0"),
        ({"training__start_share": 0.5}, "training.start_share needs a start to have a share of"),
        ({"training__start_share": 1.0}, "training.start_share: input should be less than 1, found 1.0"),
        ({"start": 5}, "start: input should be a valid string, found 5"),
        (
            {"model__kind": "ae", "model__prior": FLOW},
            "model: kind 'ae': a deterministic autoencoder has no prior to c",
        ),
        ({"model__kind": "dae"}, "model: architecture of kind 'dae': corruption: field required"),
        (
            {"model__prior": FLOW, "model__architecture": {"encoder": [], "latents": 1, "decoder": []}},
            "model: kind 'vae': a flow expects at least 2 latents, found 1",
        ),
        (
            {"model__architecture": {**CONV, "decoder": {"channels": [1] * 3, "blocks": [1] * 3}}},
            "model: kind 'vae': decoder: a residual network of 3 stages expects sides that 8 divides, found 28x28",
        ),
    ],
)
def test_what_cannot_be_is_named(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    path = write_recipe(tmp_path / "recipe.toml", **changes)
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert str(caught.value).startswith(f"{path}: {expected}")


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99])
def test_the_moving_average_follows_its_recurrence(decay: float) -> None:
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(3, generator=generator) for _ in range(30)]
    average, expected = weights[0].clone(), weights[0].double()
    update = moving_average(decay)
    for n, new in enumerate(weights[1:], 1):
        update([average], [new], torch.tensor(n))
        now = min(decay, (1 + n) / (10 + n))
        expected = now * expected + (1 - now) * new.double()
        torch.testing.assert_close(average.double(), expected, rtol=1e-5, atol=1e-6)
    if decay == 0.0:
        assert torch.equal(average, weights[-1])


def test_a_short_run_forgets_where_it_began() -> None:
    average = torch.full((1,), 100.0)
    for n in range(1, 51):
        moving_average(0.9999)([average], [torch.zeros(1)], n)
    assert average.item() < 1e-6  # with the full decay from the start it would be 99.5


def test_a_run_ends_with_the_ranks_of_its_surprise_and_a_finished_one_adds_them(tmp_path: Path, digits: Digits) -> None:
    class Told(Reporter):
        said = 0

        def unchanged(self, out: Path) -> None:  # noqa: ARG002
            self.said += 1

    train(make_recipe(), digits, tmp_path, threads=1)
    checkpoint = load_checkpoint(tmp_path / "checkpoint")
    grey = torch.from_numpy(digits.images[300:].reshape(100, -1)).float() / 255
    assert checkpoint.config.novelty == fit_novelty(checkpoint.model, grey)
    path = tmp_path / "checkpoint" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"novelty": None}))
    told = Told()
    train(make_recipe(), digits, tmp_path, threads=1, resume=True, reporter=told)
    assert read_config(tmp_path / "checkpoint") == checkpoint.config
    assert told.said == 0
    train(make_recipe(), digits, tmp_path, threads=1, resume=True, reporter=told)
    assert told.said == 1
