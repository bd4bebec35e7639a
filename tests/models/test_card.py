import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from models.card import METRICS, RECIPES, render_card
from models.checkpoint import read_config
from models.config import CheckpointConfig, ModelConfig, Weights
from models.recipe import Recipe, load_recipe, recorded
from tests.models.tiny import CONFIG

TRAINING = {
    "data": "MNIST, training digits",
    "data_licence": "CC BY-SA 3.0",
    "commit": "0123456789abcdef",
    "torch": "2.13.0",
    "images": 55000,
    "validation_images": 5000,
    "images_sha256": "feed" * 16,
    "epochs": 7,
    "steps": 1505,
    "recipe": {
        "seed": 42,
        "data": {"binarize": True},
        "training": {"epochs": 9, "batch_size": 256, "learning_rate": 0.003, "kl_warmup_steps": 11},
    },
}


SHIPPED = TRAINING | {"recipe": tomllib.loads((RECIPES / "mnist-mlp.toml").read_text())}


def config(model: ModelConfig = CONFIG, **changes: object) -> CheckpointConfig:
    return CheckpointConfig.model_validate(
        {"name": "tiny", "model": model, "weights": Weights(sha256="ab" * 32), **changes}
    )


def rows(card: str) -> dict[str, str]:
    """The tables' rows: label -> value."""
    cells = (line.strip("| ").split(" | ") for line in card.splitlines() if line.startswith("| "))
    return {cell[0]: cell[1] for cell in cells if len(cell) == 2}


def test_the_card_says_where_the_weights_come_from() -> None:
    card = render_card(config(training=TRAINING))
    expected = {
        "data": "MNIST, training digits",
        "licence of the data": "CC BY-SA 3.0",
        "images trained on": "55000",
        "images held out": "5000",
        "sha256 of the images": "feed" * 16,
        "seed": "42",
        "epochs": "7",
        "steps": "1505",
        "commit": "0123456789abcdef",
        "torch": "2.13.0",
        "batch size": "256",
        "learning rate": "0.003",
        "kl warmup steps": "11",
        "binarize": "True",
    }
    assert expected.items() <= rows(card).items()


def test_the_card_of_a_shipped_recipe_on_mnist_says_how_to_make_it_again() -> None:
    made = "reparam train models/recipes/mnist-mlp.toml"
    assert made in render_card(config(name="mnist-mlp", training=SHIPPED))
    whole = recorded(Recipe.model_validate(SHIPPED["recipe"]))
    assert whole != SHIPPED["recipe"]  # which leaves some to the defaults
    assert made in render_card(config(name="mnist-mlp", training=SHIPPED | {"recipe": whole}))
    other_data = {key: value for key, value in SHIPPED.items() if key != "data_licence"}
    recipe: Any = SHIPPED["recipe"]
    clipped = recipe | {"training": recipe["training"] | {"clip_norm": 1.0}}  # of which the shipped one says nothing
    faster = recipe | {"training": recipe["training"] | {"learning_rate": 0.1}}
    for card in (
        render_card(config(training=SHIPPED)),  # whose recipe nobody else has
        render_card(config(name="mnist-mlp", training=other_data)),
        render_card(config(name="mnist-mlp", training=SHIPPED | {"recipe": faster})),
        render_card(config(name="mnist-mlp", training=SHIPPED | {"recipe": clipped})),
        render_card(config(name="mnist-mlp", training=SHIPPED | {"recipe": recipe | {"start": "mnist-2d"}})),
        render_card(config(name="mnist-mlp", training=TRAINING)),
    ):
        assert "reparam train" not in card and "data fetch" not in card
        assert "recipe is in `config.json`" in card and "the same weights to the bit" in card


def test_figures_of_other_digits_say_so_and_nobody_is_told_to_measure_them_again() -> None:
    other = {"test_data": "`mine/t10k-images-idx3-ubyte`, which is not MNIST's own", "unlike": "shoes"}
    card = render_card(config(name="mnist-mlp", training=SHIPPED, metrics=other))
    assert rows(card)["test data"] == other["test_data"]
    assert "reparam train" in card and "reparam evaluate" not in card and "data/shoes" not in card
    known = render_card(config(name="mnist-mlp", training=SHIPPED, metrics={"test_images": 10_000}))
    assert "reparam evaluate" in known and "test data" not in rows(known)


def test_the_card_says_what_the_model_is() -> None:
    card = render_card(config())
    assert "\n# tiny\n" in card
    for part in ("28x28", "encoder [16]", "latents 4", "decoder [12]", "bernoulli", "standard-normal", "ab" * 32):
        assert part in card


def test_the_card_claims_mnist_and_a_licence_only_of_models_of_mnist() -> None:
    assert render_card(config(training=TRAINING)).startswith(
        "---\nlicense: apache-2.0\ntags: [vae, mnist, reparam]\n---\n\n# tiny\n"
    )
    others = {key: value for key, value in TRAINING.items() if key != "data_licence"}
    for training in (others, {}):
        assert render_card(config(training=training)).startswith("---\ntags: [vae, reparam]\n---\n\n# tiny\n")


def test_the_card_says_the_scale_of_a_gaussian_likelihood() -> None:
    model = CONFIG.model_dump() | {"likelihood": {"kind": "gaussian", "sigma": 0.25}}
    assert "gaussian, sigma 0.25" in render_card(config(ModelConfig.model_validate(model)))


def test_every_figure_is_in_the_card_under_its_name() -> None:
    metrics = {key: float(i) + 0.25 for i, key in enumerate(METRICS)}
    measured = rows(render_card(config(metrics=metrics)))
    assert {label: measured[label] for label in METRICS.values()} == {
        label: f"{metrics[key]:.5g}" for key, label in METRICS.items()
    }


def test_what_is_not_known_is_left_out() -> None:
    card = render_card(config())
    assert "## Trained" not in card
    assert "## Measured" not in card
    assert "None" not in card
    assert not rows(card)


def recipe(**changes: object) -> dict[str, object]:
    return TRAINING | {"recipe": TRAINING["recipe"] | changes}  # type: ignore[operator]


def test_the_card_says_what_was_maximised_and_from_where() -> None:
    for objective, said in (
        ({"kind": "elbo", "beta": 1.0, "free_nats": 0.0}, "ELBO"),
        ({"kind": "elbo", "beta": 4.0, "free_nats": 0.5}, "ELBO, KL weighted by 4, 0.5 nats of KL a latent free"),
        ({"kind": "iwae", "samples": 20, "from_epoch": 1}, "importance-weighted bound of 20 samples"),
        (
            {"kind": "iwae", "samples": 5, "from_epoch": 49},
            "ELBO; from epoch 49 the importance-weighted bound of 5 samples",
        ),
        (
            {"kind": "iwae", "samples": 16, "resampled": 2, "from_epoch": 1},
            "importance-weighted bound of 16 samples, the gradient by 2 of them, drawn by weight",
        ),
        (
            {"kind": "iwae", "samples": 8, "proposal": "laplace", "from_epoch": 1},
            "importance-weighted bound of 8 samples from a Laplace approximation of the posterior "
            "(the encoder's by its ELBO)",
        ),
    ):
        start = {"name": "runs/one/checkpoint", "sha256": "cd" * 32}
        training = recipe(objective=objective) | {"start": start, "epochs": 49}
        card = render_card(config(training=training))
        assert rows(card)["objective"] == said
        assert rows(card)["started from"] == f"runs/one/checkpoint, sha256 {'cd' * 32}"
        assert "weights in `runs/one/checkpoint`, which come first" in card


@pytest.mark.parametrize("name", ["mnist-conv", "mnist-flow", "mnist-mlp"])
def test_a_shipped_models_card_makes_first_what_it_begins_with(zoo: Path, name: str) -> None:
    card = (zoo / name / "README.md").read_text()
    runs = re.findall(r"reparam train (\S+) .*--out (\S+)", card)
    assert runs[-1][0] == f"models/recipes/{name}.toml"
    made: list[str | None] = [None]
    for path, out in runs:
        assert load_recipe(RECIPES.parent.parent / path).start == made[-1]
        made.append(f"{out}/checkpoint")


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        ({"kind": "iwae", "samples": 5, "from_epoch": 49}, "ELBO"),  # it was to come after these 48 epochs
        ({"kind": "elbo", "beta": 1.0, "free_nats": 0.5}, "ELBO, 0.5 nats of KL free"),
    ],
)
def test_the_card_says_no_more_of_the_objective_than_there_was(objective: dict[str, Any], expected: str) -> None:
    flow = {"kind": "flow", "couplings": 2, "hidden": [8]}  # under which the latents have no KL each
    model = ModelConfig.model_validate(CONFIG.model_dump() | {"prior": flow})
    card = render_card(config(model, training=recipe(objective=objective) | {"epochs": 48}))
    assert rows(card)["objective"] == expected


@pytest.mark.parametrize(
    ("device", "option", "again"),
    [
        (None, "cpu", "to the bit; another"),
        ("cpu", "cpu", "to the bit; another"),
        ("cuda (X 1)", "cuda", "On a GPU"),
        ("cuda:1 (X 1), cpu", "cuda", "On a GPU"),
    ],
)
def test_a_model_is_made_again_where_it_was_made(zoo: Path, device: str | None, option: str, again: str) -> None:
    shipped = read_config(zoo / "mnist-mlp")
    training = shipped.training | ({"device": device} if device else {})
    card = render_card(shipped.model_copy(update={"training": training}))
    assert f" --device {option} --threads" in card and again in card
    assert rows(card).get("device") == device


@pytest.mark.parametrize("value", [None, "x", 3, 0.5, True, [], ["x"], {}, {"name": 3}])
@pytest.mark.parametrize(
    "keys",
    [
        "recipe",
        "recipe.data",
        "recipe.training",
        "recipe.objective",
        "recipe.objective.beta",
        "recipe.objective.free_nats",
        "recipe.objective.from_epoch",
        "start",
        "start.name",
        "start.sha256",
        "epochs",
        "threads",
        "device",
    ],
)
def test_there_is_a_card_whatever_is_said_of_the_training(keys: str, value: object) -> None:
    elbo = {"kind": "elbo", "beta": 1.0, "free_nats": 0.0}
    iwae = {"kind": "iwae", "samples": 5, "from_epoch": 3}
    for objective in (elbo, iwae):
        training: Any = recipe(objective=dict(objective), data={}) | {"start": {"name": "a/b", "sha256": "cd" * 32}}
        *parts, key = keys.split(".")
        part = training
        for name in parts:
            part = part[name]
        part[key] = value
        assert rows(render_card(config(training=training)))["steps"] == "1505"


def test_the_card_says_which_bound_the_held_out_digits_were_measured_by() -> None:
    weighted = {"kind": "iwae", "samples": 5, "from_epoch": 7}
    ae = ModelConfig.model_validate(CONFIG.model_dump() | {"kind": "ae"})
    for model, objective, epochs, bound in (
        (CONFIG, {"kind": "elbo", "beta": 4.0, "free_nats": 0.5}, 7, "-ELBO"),
        (CONFIG, weighted, 6, "-ELBO"),
        (CONFIG, weighted, 7, "-importance-weighted bound of 5 samples"),
        (CONFIG, weighted, 60, "-importance-weighted bound of 5 samples"),
        (
            CONFIG,
            weighted | {"proposal": "laplace"},
            7,
            "-importance-weighted bound of 5 samples from a Laplace approximation",
        ),
        (ae, {"kind": "elbo", "beta": 1.0, "free_nats": 0.0}, 7, "-log p(x given z)"),
    ):
        training = recipe(objective=objective) | {"epochs": epochs}
        card = render_card(config(model, training=training, metrics={"validation_negative_elbo_nats": 95.5}))
        assert rows(card)[f"{bound}, held-out digits (nats)"] == "95.5"


def test_the_card_says_what_the_novelty_percentile_ranks_among() -> None:
    novelty = {"images": 5000, "draws": 8, "quantiles": [0.0, 1.0]}
    card = render_card(config(training=TRAINING, novelty=novelty))
    assert rows(card)["images behind the novelty percentile, held out"] == "5000"


def test_a_closed_form_has_no_training_settings() -> None:
    model = {"kind": "linear", "architecture": {"latents": 3}, "likelihood": {"kind": "linear-gaussian"}}
    fitted = {key: value for key, value in TRAINING.items() if key not in ("epochs", "steps")}
    fitted["recipe"] = {"seed": 0, "data": {"binarize": False}, "objective": {"kind": "elbo"}}
    card = render_card(config(ModelConfig.model_validate(model), training=fitted, metrics={"nll_samples": 1}))
    assert rows(card)["objective"] == "the likelihood, in closed form: one eigendecomposition"
    assert not {"epochs", "steps", "batch size", "learning rate"} & rows(card).keys()
    assert "One sample is exact" in card and "--samples" not in card


def test_the_command_that_measures_has_the_options_it_was_given() -> None:
    given = {"nll_samples": 50, "nll_precision": "bfloat16", "evaluation_seed": 3, "unlike": "fashion-mnist"}
    card = render_card(config(name="mnist-mlp", training=SHIPPED, metrics=given))
    options = "--samples 50 --precision bfloat16 --seed 3 --unlike data/fashion-mnist --update"
    assert f"reparam evaluate runs/mnist-mlp/checkpoint --data data/mnist {options}\n" in card
    assert "`data/fashion-mnist` holds" in card
    usual = {"nll_samples": 1000, "nll_precision": "float32", "evaluation_seed": 0}
    assert "--data data/mnist --update\n" in render_card(config(name="mnist-mlp", training=SHIPPED, metrics=usual))
