"""Runs of the kind that needs no gradient."""

from pathlib import Path
from typing import Any

import pytest
import torch

from models.checkpoint import load_checkpoint
from models.data import Digits
from models.errors import RecipeError, TrainingError
from models.linear import LinearVAE
from models.training import Recipe, Reporter, load_recipe, train
from models.training.state import STATE_FILE
from tests.models.training.recipes import document, first, write_recipe

LINEAR: dict[str, Any] = {
    "model__kind": "linear",
    "model__architecture": {"latents": 8},
    "model__likelihood": {"kind": "linear-gaussian"},
    "data__binarize": False,
    "training": None,
}


def recipe(**changes: Any) -> Recipe:
    return Recipe.model_validate(document(**(LINEAR | changes)))


class Told(Reporter):
    """Whether it was told that nothing was left to do."""

    said = False

    def unchanged(self, out: Path) -> None:  # noqa: ARG002
        self.said = True


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_checkpoint_has_the_weights_that_the_kind_fits(tmp_path: Path, digits: Digits) -> None:
    told = Told()
    end = train(recipe(), digits, tmp_path, threads=1, reporter=told, provenance={"commit": "abc"})
    assert not told.said
    checkpoint = load_checkpoint(tmp_path / "checkpoint")
    x = torch.from_numpy(digits.images.reshape(400, -1)).float() / 255
    expected = LinearVAE((1, 28, 28), 8)
    expected.fit(x[:300])
    for key, tensor in expected.state_dict().items():
        assert torch.equal(checkpoint.model.state_dict()[key], tensor)
    training = checkpoint.config.training
    assert {"commit": "abc", "images": 300, "validation_images": 100}.items() <= training.items()
    assert training["recipe"] == recipe().model_dump(mode="json", exclude_none=True)
    assert "epochs" not in training
    # The posterior is exact, and the ELBO of the held-out digits therefore their evidence.
    weight = expected.decoder.weight.detach().double()
    noise = (2 * expected.likelihood.log_sigma.detach().double()).exp()
    covariance = weight @ weight.T + noise * torch.eye(784, dtype=torch.float64)
    p = torch.distributions.MultivariateNormal(expected.decoder.bias.detach().double(), covariance)
    assert end.best_negative_elbo == checkpoint.config.metrics["validation_negative_elbo_nats"]
    assert end.best_negative_elbo == pytest.approx(-p.log_prob(x[300:].double()).mean().item(), abs=1.5)
    assert checkpoint.config.novelty is not None
    assert checkpoint.config.novelty.images == 100


def test_torchs_own_generator_is_left_alone(tmp_path: Path, digits: Digits) -> None:
    before = torch.get_rng_state()
    train(recipe(), digits, tmp_path, threads=1)
    assert torch.equal(before, torch.get_rng_state())


def test_a_run_is_not_begun_over_another_and_resuming_it_changes_nothing(tmp_path: Path, digits: Digits) -> None:
    train(recipe(), digits, tmp_path, threads=1)
    before = contents(tmp_path)
    with pytest.raises(TrainingError, match=f"^{tmp_path} holds a run already, which is finished: go on with --resume"):
        train(recipe(), digits, tmp_path, threads=1)
    told = Told()
    train(recipe(), digits, tmp_path, threads=1, resume=True, reporter=told)
    assert told.said
    other = recipe(model__architecture={"latents": 9})
    with pytest.raises(TrainingError, match=r"model.architecture.latents: began with 8, now 9"):
        train(other, digits, tmp_path, threads=1, resume=True)
    assert contents(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint", STATE_FILE]


def test_a_run_that_was_killed_before_its_end_was_saved_is_done_again(tmp_path: Path, digits: Digits) -> None:
    train(recipe(), digits, tmp_path, threads=1)
    before = contents(tmp_path / "checkpoint")
    (tmp_path / STATE_FILE).unlink()
    (tmp_path / ".checkpoint.unfinished-abcdefgh").mkdir()
    train(recipe(), digits, tmp_path, threads=1)
    assert contents(tmp_path / "checkpoint") == before
    assert not (tmp_path / ".checkpoint.unfinished-abcdefgh").exists()


def test_without_held_out_digits_there_are_no_figures_of_them(tmp_path: Path, digits: Digits) -> None:
    end = train(recipe(data__validation=0), digits, tmp_path, threads=1)
    config = load_checkpoint(tmp_path / "checkpoint").config
    assert (end.best_negative_elbo, config.metrics, config.novelty) == (None, {}, None)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"training": {"epochs": 1, "batch_size": 9, "learning_rate": 1.0}}, "training: kind 'linear' has a closed fo"),
        ({"start": "mnist-mlp"}, "start: kind 'linear' has a closed form: leave it out"),
        ({"objective": {"kind": "elbo", "beta": 2.0}}, "objective: kind 'linear' has a closed form: leave it out"),
        ({"objective": {"kind": "iwae", "samples": 5}}, "objective: kind 'linear' has a closed form: leave it out"),
        (
            {"model__likelihood": {"kind": "gaussian", "sigma": 1.0}},
            "model: kind 'linear': expected the likelihood 'li",
        ),
        ({"data__binarize": True}, "data.binarize is for a Bernoulli likelihood"),
        (
            {"model__architecture": {"latents": 784}},
            "model: kind 'linear': expected fewer latents than the image's 784",
        ),
    ],
)
def test_a_recipe_says_nothing_of_what_a_closed_form_lacks(
    tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    path = write_recipe(tmp_path / "recipe.toml", **(LINEAR | changes))
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert str(caught.value).startswith(f"{path}: {expected}")


@pytest.mark.parametrize(
    ("count", "changes", "expected"),
    [
        (
            400,
            {"data__validation": 399},
            r"data.validation: expected to leave at least 2 of the 400 digits .* found 399$",
        ),
        (
            400,
            {"data__validation": 999},
            r"data.validation: expected to leave at least 2 of the 400 digits .* found 999$",
        ),
        (108, {}, r"model.architecture.latents: expected images that vary in more than 8 directions, .* found 7$"),
        (
            400,
            {"model__input_shape": [1, 14, 56]},
            r"model.input_shape: expected the digits' \[1, 28, 28\], found \[1, 1",
        ),
    ],
)
def test_digits_that_do_not_do_are_an_error(
    tmp_path: Path, digits: Digits, count: int, changes: dict[str, Any], expected: str
) -> None:
    with pytest.raises(RecipeError, match=f"^{expected}"):
        train(recipe(**changes), first(digits, count), tmp_path, threads=1)
    assert not list(tmp_path.iterdir())
