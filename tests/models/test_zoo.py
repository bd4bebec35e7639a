"""The shipped checkpoints: what their cards say is true of them."""

from pathlib import Path

import pytest
import torch

from models.card import render_card
from models.checkpoint import load_checkpoint
from models.data import load_mnist
from models.data.pixels import as_vectors, binarize
from models.evaluation import evaluate
from models.training import Recipe, load_recipe
from models.vae import VAE
from tests.conftest import ROOT

SHIPPED = sorted(path.parent for path in (ROOT / "models" / "zoo").glob("*/config.json"))


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_the_card_the_recipe_and_the_folder_agree(folder: Path) -> None:
    config = load_checkpoint(folder).config
    assert config.name == folder.name
    assert (folder / "README.md").read_text() == render_card(config)
    recipe = load_recipe(ROOT / "models" / "recipes" / f"{config.name}.toml")
    # Parsed, since a key that came later is in none of the older ones.
    assert Recipe.model_validate(config.training["recipe"]) == recipe
    assert config.training["commit"] and "dirty" not in config.training["commit"]


def test_together_they_are_small() -> None:
    assert sum(file.stat().st_size for file in (ROOT / "models" / "zoo").rglob("*")) <= 25e6


def test_mnist_mlp_is_the_notes_network_and_as_good_as_its_card_says(mnist: Path) -> None:
    checkpoint = load_checkpoint(ROOT / "models" / "zoo" / "mnist-mlp")
    shapes = {key: tuple(value.shape) for key, value in checkpoint.model.state_dict().items() if "weight" in key}
    assert sorted(shapes.values()) == [(100, 256), (256, 50), (256, 784), (784, 256)]
    stated = checkpoint.config.metrics
    assert stated["test_images"] == 10_000 and stated["nll_samples"] == 1000 and stated["test_nll_nats"] <= 90.0
    # On the thousand digits at hand the mean's own standard error is 0.8 nats.
    found = evaluate(checkpoint.model, load_mnist(mnist, "test"), samples=20)
    assert found["test_negative_elbo_nats"] == pytest.approx(stated["test_negative_elbo_nats"], abs=3)
    assert found["test_nll_nats"] < found["test_negative_elbo_nats"]
    assert found["reconstruction_mse"] <= 0.007


def test_the_exact_likelihood_was_measured_in_full_precision() -> None:
    stated = load_checkpoint(ROOT / "models" / "zoo" / "mnist-linear").config.metrics
    assert (stated["nll_samples"], stated["nll_precision"]) == (1, "float32")


@pytest.mark.parametrize("name", ["mnist-mlp", "mnist-2d"])
def test_half_the_room_is_room_enough(name: str, mnist: Path) -> None:
    model = load_checkpoint(ROOT / "models" / "zoo" / name).model
    assert isinstance(model, VAE)
    x = binarize(as_vectors(load_mnist(mnist, "test")), torch.Generator().manual_seed(0))
    epsilon = model.draw_epsilon(x, torch.Generator().manual_seed(1))

    def elbo() -> torch.Tensor:
        terms = model.elbo_terms(x, epsilon)
        return terms.log_likelihood - terms.kl.sum(-1)

    whole = elbo()
    model.load_state_dict({key: tensor.half().float() for key, tensor in model.state_dict().items()})
    half = elbo()
    assert not torch.equal(half, whole)
    assert abs((half - whole).mean().item()) < 0.01
    assert (half - whole).abs().max().item() < 1
