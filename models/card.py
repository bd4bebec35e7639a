"""The model card: `config.json` told to a person."""

from collections.abc import Mapping
from typing import Any

from models.config import CheckpointConfig
from models.likelihoods import GaussianSpec

# What is measured, in a reader's words; `reparam evaluate` gives the figures.
METRICS = {
    "validation_negative_elbo_nats": "-ELBO, held-out digits (nats)",
    "test_images": "test digits",
    "test_negative_elbo_nats": "-ELBO, test digits (nats)",
    "test_log_likelihood_nats": "reconstruction term, E[log p(x given z)] (nats)",
    "test_kl_nats": "KL term (nats)",
    "test_nll_nats": "NLL by importance sampling, test digits (nats)",
    "nll_samples": "importance samples an image, K",
    "active_units": "active units (variance of the posterior mean above 0.01)",
    "reconstruction_mse": "squared error a pixel of the decoded mean, grey test digits",
    "evaluation_seed": "seed of the evaluation",
}


def render_card(config: CheckpointConfig) -> str:
    """The card in Markdown, made from the configuration alone, so that the two never disagree."""
    model, training = config.model, config.training
    return (
        "\n\n".join(
            part
            for part in (
                f"---\nlicense: apache-2.0\ntags: [{model.kind}, mnist, reparam]\n---",
                f"# {config.name}",
                _model(config),
                _table("Measured", {label: config.metrics.get(key) for key, label in METRICS.items()}),
                _training(training),
                _making(config) if training else "",
                _limits(),
            )
            if part
        )
        + "\n"
    )


def _model(config: CheckpointConfig) -> str:
    model = config.model
    likelihood = model.likelihood
    scale = f", sigma {likelihood.sigma} on pixels scaled to [-1, 1]" if isinstance(likelihood, GaussianSpec) else ""
    channels, rows, columns = model.input_shape
    architecture = "; ".join(f"{key} {value}" for key, value in model.architecture.items())
    return (
        f"A `{model.kind}` for images of {rows}x{columns} pixels and {channels} channel. {architecture}. "
        f"Likelihood: {likelihood.kind}{scale}. Prior: {model.prior.kind}.\n\n"
        f"sha256 of `{config.weights.file}`: `{config.weights.sha256}`"
    )


def _training(training: Mapping[str, Any]) -> str:
    if not training:
        return ""
    recipe = training.get("recipe", {})
    rows = {
        "data": training.get("data"),
        "licence of the data": training.get("data_licence"),
        "images trained on": training.get("images"),
        "images held out": training.get("validation_images"),
        "sha256 of the images": training.get("images_sha256"),
        "seed": recipe.get("seed"),
        "epochs": training.get("epochs"),
        "steps": training.get("steps"),
        "threads": training.get("threads"),
        "commit": training.get("commit"),
        "torch": training.get("torch"),
    }
    options = recipe.get("training", {}) | recipe.get("data", {})
    return _table("Trained", rows | {key.replace("_", " "): value for key, value in options.items() if key != "epochs"})


def _making(config: CheckpointConfig) -> str:
    name = config.name
    threads = f" --threads {config.training['threads']}" if "threads" in config.training else ""
    return (
        "## Making it again\n\n"
        "```bash\n"
        ".venv/bin/pip install -c constraints.txt -e '.[train]'\n"
        ".venv/bin/reparam data fetch --to data/mnist\n"
        f".venv/bin/reparam train models/recipes/{name}.toml --data data/mnist --out runs/{name}{threads}\n"
        f".venv/bin/reparam evaluate runs/{name}/checkpoint --data data/mnist --update\n"
        "```\n\n"
        "The same recipe, data, torch, thread count and processor give the same weights to the bit; another processor "
        "rounds otherwise, and gives the same figures to within a few hundredths of a nat."
    )


def _limits() -> str:
    return (
        "## What it is not for\n\n"
        "The model knows the images it was trained on and nothing else: an image unlike them still gets a code, and "
        "its reconstruction is whatever in the training data comes nearest."
    )


def _table(title: str, rows: Mapping[str, Any]) -> str:
    present = {label: value for label, value in rows.items() if value is not None}
    if not present:
        return ""
    lines = (f"| {label} | {f'{v:.5g}' if isinstance(v, float) else v} |" for label, v in present.items())
    return f"## {title}\n\n| | |\n| --- | --- |\n" + "\n".join(lines)
