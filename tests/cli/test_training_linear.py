"""`reparam train` of the kind that has a closed form."""

from pathlib import Path

import pytest

from models.checkpoint import load_checkpoint
from models.linear import LinearVAE
from tests.cli.test_training import error, files, train
from tests.models.training.recipes import write_recipe
from tests.models.training.test_closed_form import LINEAR
from tests.processes import Finished


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recipe(tmp_path_factory.mktemp("recipe") / "tiny.toml", **LINEAR)


@pytest.fixture(scope="module")
def trained(recipe: Path, mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Finished, Path]:
    out = tmp_path_factory.mktemp("trained") / "run"
    return train(recipe, mnist, out), out


def test_it_leaves_a_checkpoint_and_says_where(trained: tuple[Finished, Path]) -> None:
    end, out = trained
    assert (end.status, end.stderr) == (0, "")
    checkpoint = load_checkpoint(out / "checkpoint")
    assert isinstance(checkpoint.model, LinearVAE)
    best = checkpoint.config.metrics["validation_negative_elbo_nats"]
    assert end.stdout == (
        f"{out}/checkpoint: the weights of greatest likelihood, in closed form, validation -ELBO {best:.2f} nats\n"
    )
    expected = {"images": 1900, "validation_images": 100, "threads": 1}
    assert expected.items() <= checkpoint.config.training.items()
    card = (out / "checkpoint" / "README.md").read_text()
    for part in ("A `linear` for images of 28x28 pixels", "latents 8", "linear-gaussian", "train-images-idx3-ubyte"):
        assert part in card


def test_a_second_run_in_the_same_folder_is_refused_unless_it_is_resumed(
    trained: tuple[Finished, Path], recipe: Path, mnist: Path
) -> None:
    first, out = trained
    before = files(out)
    assert error(train(recipe, mnist, out)) == (
        f"{out} holds a run already, which is finished: go on with --resume, or name another folder"
    )
    again = train(recipe, mnist, out, "--resume")
    assert again == Finished(0, first.stdout, f"{out}: this run was finished before; nothing was changed\n")
    assert files(out) == before


def test_another_recipe_is_not_the_run_that_is_there(
    trained: tuple[Finished, Path], mnist: Path, tmp_path: Path
) -> None:
    other = write_recipe(tmp_path / "other.toml", **(LINEAR | {"model__architecture": {"latents": 3}}))
    said = error(train(other, mnist, trained[1], "--resume"))
    assert "model.architecture.latents: began with 8, now 3" in said


def test_a_recipe_that_also_says_how_to_train_is_refused(tmp_path: Path, mnist: Path) -> None:
    training = {"epochs": 3, "batch_size": 50, "learning_rate": 0.001}
    path = write_recipe(tmp_path / "bad.toml", **(LINEAR | {"training": training}))
    said = error(train(path, mnist, tmp_path / "run"))
    assert said == f"{path}: training: kind 'linear' has a closed form: leave it out"
