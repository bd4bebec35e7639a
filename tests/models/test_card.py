from models.card import METRICS, render_card
from models.config import CheckpointConfig, ModelConfig, Weights
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
    assert "reparam train models/recipes/tiny.toml" in card


def test_the_card_says_what_the_model_is() -> None:
    card = render_card(config())
    assert card.startswith("---\nlicense: ")
    assert "\n# tiny\n" in card
    for part in ("28x28", "encoder [16]", "latents 4", "decoder [12]", "bernoulli", "standard-normal", "ab" * 32):
        assert part in card


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
