import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.errors import RecipeError
from models.kinds import build
from models.priors import StandardNormalSpec
from models.recipe import Elbo, load_recipe
from models.vae import VAE
from tests.conftest import ROOT
from tests.models.training.recipes import make_recipe, write_recipe

SHIPPED = sorted((Path(__file__).parents[2] / "models" / "recipes").glob("*.toml"))


def message(path: Path) -> str:
    """What the error says, less the file's name."""
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value).removeprefix(f"{path}: ")


def test_a_file_says_what_its_document_says(tmp_path: Path) -> None:
    changes = {"seed": 2**63 - 1, "training__kl_warmup_steps": 5, "training__average_decay": 0.5}
    assert load_recipe(write_recipe(tmp_path / "recipe.toml", **changes)) == make_recipe(**changes)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_recipe_is_one_and_bears_its_files_name(path: Path) -> None:
    assert load_recipe(path).name == path.stem


def test_the_recipe_of_the_notes_is_784_256_50() -> None:
    recipe = load_recipe(next(path for path in SHIPPED if path.stem == "mnist-mlp"))
    model = build(recipe.model)
    assert isinstance(model, VAE)
    shapes = [tuple(parameter.shape) for parameter in model.parameters()]
    assert shapes == [(256, 784), (256,), (100, 256), (100,), (256, 50), (256,), (784, 256), (784,)]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"speed": 3}, "speed: extra inputs are not permitted"),
        ({"training__epoch": 3}, "training.epoch: extra inputs are not permitted"),
        ({"two\\nlines": 3}, "not TOML: "),
        ({"training__epochs": "many"}, "training.epochs: input should be a valid integer, "),
        ({"training__epochs": 0}, "training.epochs: input should be greater than 0, found 0"),
        ({"training__epochs": None}, "training.epochs: field required"),
        ({"training__epochs": True}, "training.epochs: input should be a valid integer, found True"),
        ({"training__epochs": "1"}, "training.epochs: input should be a valid integer, found '1'"),
        ({"training__patience": 10**20}, "training.patience: input should be "),
        ({"training__kl_warmup_steps": 2**31}, "training.kl_warmup_steps: input should be less than 2147483648"),
        ({"training__batch_size": 1.5}, "training.batch_size: input should be a valid integer"),
        ({"training__batch_size": -1}, "training.batch_size: input should be greater than 0, found -1"),
        ({"training__learning_rate": 0.0}, "training.learning_rate: input should be greater than 0, found 0.0"),
        ({"training__learning_rate": True}, "training.learning_rate: input should be a valid number, found True"),
        ({"training__learning_rate": "0.1"}, "training.learning_rate: input should be a valid number, found '0.1'"),
        ({"training__average_decay": False}, "training.average_decay: input should be a valid number, found False"),
        ({"training__clip_norm": "1"}, "training.clip_norm: input should be a valid number, found '1'"),
        ({"objective": {"kind": "elbo", "beta": True}}, "objective.beta: input should be a valid number, found True"),
        (
            {"objective": {"kind": "elbo", "free_nats": "1"}},
            "objective.free_nats: input should be a valid number, found '1'",
        ),
        ({"data__binarize": "yes"}, "data.binarize: input should be a valid boolean, found 'yes'"),
        ({"data__binarize": 1}, "data.binarize: input should be a valid boolean, found 1"),
        ({"training__schedule": "step"}, "training.schedule: input should be 'constant' or 'cosine', found 'step'"),
        ({"training__average_decay": 1.0}, "training.average_decay: input should be less than 1, found 1.0"),
        ({"training": None}, "training: expected how kind 'vae' is trained (epochs, batch_size, ...)"),
        ({"training": 5}, "training: input should be a valid dictionary"),
        ({"seed": None}, "seed: field required"),
        ({"seed": -1}, "seed: input should be greater than or equal to 0, found -1"),
        ({"seed": 2**63}, "seed: input should be less than 9223372036854775808"),
        ({"name": "a/b"}, "name: string should match pattern"),
        ({"model__kind": "gan"}, "model: kind: expected one of ae, dae, linear, vae, found 'gan'"),
        ({"model__architecture__heads": 8}, "model: architecture of kind 'vae': heads: extra inputs are not permitted"),
        (
            {"model__input_shape": [2**16] * 3, "model__architecture__encoder": [2**16]},
            "model: architecture of kind 'vae': cannot be built: ",
        ),
        (
            {"model__prior": {"kind": "flow", "couplings": 10**9, "hidden": [8]}},
            "model.prior.couplings: input should be less than or equal to 128, found 1000000000",
        ),
        (
            {"model__architecture__latents": True},
            "model: architecture of kind 'vae': latents: input should be a valid int",
        ),
        (
            {"model__architecture__encoder": ["16"]},
            "model: architecture of kind 'vae': encoder.0: input should be a vali",
        ),
        ({"data__validation": -5}, "data.validation: input should be greater than or equal to 0, found -5"),
        ({"data__validation": 0, "training__patience": 2}, "training.patience needs held-out digits"),
        (
            {"model__likelihood": {"kind": "gaussian", "sigma": 0.5}},
            "data.binarize is for a Bernoulli likelihood",
        ),
    ],
)
def test_what_cannot_be_is_named(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    assert message(write_recipe(tmp_path / "recipe.toml", **changes)).startswith(expected)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("key", ["learning_rate", "average_decay"])
def test_numbers_are_finite(tmp_path: Path, key: str, value: str) -> None:
    path = write_recipe(tmp_path / "recipe.toml", **{f"training__{key}": math.pi})
    path.write_text(path.read_text().replace(str(math.pi), value))
    assert message(path).startswith(f"training.{key}: input should be ")


def test_a_file_may_say_that_it_is_utf_8(tmp_path: Path) -> None:
    path = ROOT / "models" / "recipes" / "mnist-mlp.toml"
    marked = tmp_path / "marked.toml"
    marked.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_recipe(marked) == load_recipe(path)


def test_a_file_that_is_not_toml(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    for data in (b"name = ", b"\xff\xfe", b'{"name": 1}', b"a = 1\na = 2", b"a = " + b"[" * 5000):
        path.write_bytes(data)
        assert message(path).startswith("not TOML: ")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    assert message(tmp_path / "none.toml") == "expected a recipe in TOML: No such file or directory"
    assert message(tmp_path) == "expected a recipe in TOML: Is a directory"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.binary(max_size=200))
def test_any_file_is_a_recipe_or_an_error_of_one_line(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "recipe.toml"
    path.write_bytes(data)
    message(path)


def test_reading_a_recipe_draws_nothing_and_takes_no_memory(tmp_path: Path) -> None:
    huge = {"encoder": [2**16] * 32, "latents": 4, "decoder": []}  # 500 GB of weights
    before = torch.get_rng_state()
    load_recipe(write_recipe(tmp_path / "recipe.toml", model__architecture=huge))
    assert torch.equal(before, torch.get_rng_state())


def test_an_objective_and_a_prior_without_a_kind_are_of_the_first() -> None:
    recipe = make_recipe(objective={"beta": 4.0}, model__prior={})
    assert recipe.objective == Elbo(beta=4.0) and recipe.model.prior == StandardNormalSpec()
