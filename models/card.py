"""The model card: `config.json` told to a person."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from models.config import CheckpointConfig
from models.kinds import KINDS
from models.likelihoods import GaussianSpec
from models.priors import StandardNormalSpec
from models.recipe import Recipe, load_recipe

RECIPES = Path(__file__).resolve().parent / "recipes"
SAME = (
    "The same recipe, data, torch, thread count and processor give the same weights to the bit; another processor "
    "rounds otherwise, and gives figures that are alike."
)
ALIKE = (
    "On a GPU sums are in no fixed order: the same run again gives figures that are alike, not the same weights to the "
    "bit."
)
METRICS_OF_TRAINING = ("validation_negative_elbo_nats",)  # which no evaluation measures
# What is measured, in a reader's words; `reparam evaluate` gives the figures.
METRICS = {
    "validation_negative_elbo_nats": "-ELBO, held-out digits (nats)",
    "test_data": "test data",
    "test_images": "test digits",
    "test_negative_elbo_nats": "-ELBO, test digits (nats)",
    "test_log_likelihood_nats": "reconstruction term, log p(x given z) (nats)",
    "test_kl_nats": "KL term (nats)",
    "test_nll_nats": "NLL, -log p(x), by importance sampling, test digits (nats)",
    "test_nll_by_posterior_nats": "the same by the encoder's half of the samples, without a Laplace approximation's",
    "nll_samples": "importance samples an image, K",
    "nll_precision": "precision of the networks in the NLL",
    "active_units": "active units (variance of the posterior mean above 0.01)",
    "reconstruction_mse": "squared error a pixel of the reconstruction, grey test digits",
    "reconstruction_psnr_db": "PSNR of the reconstruction (dB), mean over digits",
    "noisy_mse": "squared error a pixel of digits under noise (sigma 0.5, clipped to 0..1)",
    "denoised_mse": "the same, after the model's reconstruction of the noisy digit",
    "median_filter_mse": "the same, after a 3x3 median filter instead",
    "fid": "FID of 10,000 samples to the test digits, in a digit classifier's features",
    "fid_floor": "the same, of real training digits",
    "sample_confidence": "the classifier's mean confidence in samples (probability of the likeliest digit)",
    "sample_class_entropy_nats": "entropy of the samples' digits (nats; 2.303 when all ten are as frequent)",
    "linear_probe_accuracy": "digits told right by logistic regression on the latents",
    "knn_accuracy": "digits told right by the 5 nearest latents",
    "training_digits_used": "training digits, the first, behind the two, and in the FID of real digits",
    "novelty_deviation_points": "novelty percentile on test digits: largest deviation from uniform (points)",
    "novelty_auroc_shuffled": "AUROC of surprise, test digits against the same with shuffled pixels",
    "novelty_auroc_inverted": "AUROC of surprise, test digits against the same inverted",
    "novelty_auroc_unlike": "AUROC of surprise, test digits against other images",
    "unlike": "the other images",
    "evaluation_seed": "seed of the evaluation",
}


def render_card(config: CheckpointConfig) -> str:
    """The card in Markdown, made from the configuration alone, so that the two never disagree.

    What the configuration says of the training in another form than `reparam train` does is left out.
    """
    return (
        "\n\n".join(
            part
            for part in (
                _front_matter(config),
                f"# {config.name}",
                _model(config),
                _measured(config),
                _training(config),
                _making(config) if config.training else "",
                _limits(),
            )
            if part
        )
        + "\n"
    )


def _front_matter(config: CheckpointConfig) -> str:
    """For catalogues of models. Whose the weights are that come of somebody's own data is not known here."""
    kind = config.model.kind
    if "data_licence" in config.training:
        return f"---\nlicense: apache-2.0\ntags: [{kind}, mnist, reparam]\n---"
    return f"---\ntags: [{kind}, reparam]\n---"


def _model(config: CheckpointConfig) -> str:
    model = config.model
    likelihood = model.likelihood
    scale = f", sigma {likelihood.sigma} on pixels scaled to [-1, 1]" if isinstance(likelihood, GaussianSpec) else ""
    channels, rows, columns = model.input_shape
    architecture = "; ".join(f"{key} {value}" for key, value in model.architecture.items())
    prior = f"Prior: {model.prior.kind}" if KINDS[model.kind].generative else "No prior: it is deterministic"
    return (
        f"A `{model.kind}` for images of {rows}x{columns} pixels and {channels} channel. {architecture}. "
        f"Likelihood: {likelihood.kind}{scale}. {prior}.\n\n"
        f"sha256 of `{config.weights.file}`: `{config.weights.sha256}`"
    )


def measured(metrics: Mapping[str, Any], labels: Mapping[str, str] = METRICS) -> str:
    """The figures there are as a table in Markdown, in a reader's words; nothing if there are none."""
    return _table({label: metrics.get(key) for key, label in labels.items()})


def _measured(config: CheckpointConfig) -> str:
    validation = f"-{_bound(config)}, held-out digits (nats)"
    table = measured(config.metrics, METRICS | {"validation_negative_elbo_nats": validation})
    if not table:
        return ""
    flow = (
        "The KL under the flow is by Monte Carlo, of all latents together: there is none of each."
        if config.model.prior.kind == "flow"
        else ""
    )
    exact = "One sample is exact, as the posterior is the true one; the ELBO is the same but for the noise of its draw."
    notes = " ".join(note for note in (flow, exact if config.model.kind == "linear" else "") if note)
    return f"## Measured\n\n{table}" + (f"\n\n{notes}" if notes else "")


def _training(config: CheckpointConfig) -> str:
    training = config.training
    if not training:
        return ""
    recipe = _part(training, "recipe")
    rows = {
        "data": training.get("data"),
        "licence of the data": training.get("data_licence"),
        "images trained on": training.get("images"),
        "images held out": training.get("validation_images"),
        "images behind the novelty percentile, held out": config.novelty and config.novelty.images,
        "sha256 of the images": training.get("images_sha256"),
        "seed": recipe.get("seed"),
        "objective": _objective(config),
        "started from": _start(training),
        "epochs": training.get("epochs"),
        "steps": training.get("steps"),
        "threads": training.get("threads"),
        "device": training.get("device"),
        "commit": training.get("commit"),
        "torch": training.get("torch"),
    }
    options = _part(recipe, "training") | _part(recipe, "data")
    rows |= {key.replace("_", " "): value for key, value in options.items() if key != "epochs"}
    return f"## Trained\n\n{_table(rows)}"


def _part(record: Mapping[str, Any], key: str) -> dict[str, Any]:
    part = record.get(key)
    return part if isinstance(part, dict) else {}


def _start(training: Mapping[str, Any]) -> str | None:
    match training.get("start"):
        case {"name": str(name), "sha256": sha256}:
            return f"{name}, sha256 {sha256}"
        case _:
            return None


def _objective(config: CheckpointConfig) -> str | None:
    """What training maximised."""
    if config.model.kind == "linear":
        return "the likelihood, in closed form: one eigendecomposition"
    if not KINDS[config.model.kind].generative:
        return _reconstruction(config)
    match _part(config.training, "recipe").get("objective"):
        case {"kind": "iwae", "samples": samples, "from_epoch": int(epoch), **others}:
            weighted = _importance_weighted(samples, others.get("proposal"))
            if others.get("proposal"):
                weighted += " of the posterior (the encoder's by its ELBO)"
            if resampled := others.get("resampled"):
                weighted += f", the gradient by {resampled} of them, drawn by weight"
            if _epochs(config, epoch) < epoch:  # it did not come to that
                return "ELBO"
            return weighted if epoch == 1 else f"ELBO; from epoch {epoch} the {weighted}"
        case {"kind": "elbo", "beta": int() | float() as beta, "free_nats": int() | float() as free}:
            weighted = f", KL weighted by {beta:g}" if beta != 1 else ""
            each = " a latent" if isinstance(config.model.prior, StandardNormalSpec) else ""
            return f"ELBO{weighted}" + (f", {free:g} nats of KL{each} free" if free else "")
        case _:
            return None


def _bound(config: CheckpointConfig) -> str:
    """What the validation measured: the bound of the objective in the epoch whose weights these are."""
    if not KINDS[config.model.kind].generative:
        return _reconstruction(config)
    match _part(config.training, "recipe").get("objective"):
        case {"kind": "iwae", "samples": samples, "from_epoch": int(first), **others} if _epochs(config, 0) >= first:
            return _importance_weighted(samples, others.get("proposal"))
        case _:
            return "ELBO"


def _epochs(config: CheckpointConfig, unknown: int) -> int:
    epochs = config.training.get("epochs")
    return epochs if isinstance(epochs, int) else unknown


def _importance_weighted(samples: object, proposal: object) -> str:
    laplace = " from a Laplace approximation" if proposal == "laplace" else ""
    return f"importance-weighted bound of {samples} samples{laplace}"


def _reconstruction(config: CheckpointConfig) -> str:
    """The one term that there is without a prior."""
    return "log p(x given z)" + (", z the code of x under noise" if config.model.kind == "dae" else "")


def _making(config: CheckpointConfig) -> str:
    name, metrics = config.name, config.metrics
    start = str(_part(config.training, "start").get("name", ""))
    before = f"\n\nIt begins with the weights in `{start}`, which come first." if "/" in start else ""
    device = "cuda" if "cuda" in str(config.training.get("device")) else "cpu"
    again = SAME if device == "cpu" else ALIKE
    # Only MNIST's own digits have a licence that is known, and only the shipped recipes are where everybody finds them.
    if "data_licence" not in config.training or not _is_shipped(name, config.training.get("recipe")):
        return f"## Making it again\n\nIts recipe is in `config.json`, under `training`.{before}\n\n{again}"
    threads = f" --threads {config.training['threads']}" if "threads" in config.training else ""
    options = [
        f" --{option} {metrics[key]}"
        for option, key, default in (
            ("samples", "nll_samples", 1 if config.model.kind == "linear" else 1000),
            ("precision", "nll_precision", "float32"),
            ("seed", "evaluation_seed", 0),
        )
        if metrics.get(key, default) != default
    ]
    unlike = ""
    if "unlike" in metrics:
        folder = f"data/{metrics['unlike']}"
        options.append(f" --unlike {folder}")
        unlike = f" `{folder}` holds the other images, in files named as MNIST's."
    measuring = f".venv/bin/reparam evaluate runs/{name}/checkpoint --data data/mnist{''.join(options)} --update\n"
    if "test_data" in metrics:  # which not everybody has
        measuring = unlike = ""
    first = "".join([_command(earlier, device) + "\n" for earlier in _before(name)])
    return (
        "## Making it again\n\n"
        "```bash\n"
        ".venv/bin/pip install -c constraints.txt -e '.[train]'\n"
        ".venv/bin/reparam data fetch --to data/mnist\n"
        f"{first}{_command(name, device)}{threads}\n"
        f"{measuring}```{before}\n\n"
        f"{again}{unlike}"
    )


def _command(name: str, device: str) -> str:
    return f".venv/bin/reparam train models/recipes/{name}.toml --data data/mnist --out runs/{name} --device {device}"


def _before(name: str) -> list[str]:
    """The shipped recipes whose runs a shipped one begins with, one from another, the earliest first."""
    start = Path(load_recipe(RECIPES / f"{name}.toml").start or "")
    earlier = start.parent.name
    if start != Path("runs") / earlier / "checkpoint" or not (RECIPES / f"{earlier}.toml").exists():
        return []
    return [*_before(earlier), earlier]


def _is_shipped(name: str, recorded: object) -> bool:
    """Whether the recipe that a checkpoint records is the shipped one of its name, with what either leaves out."""
    path = RECIPES / f"{name}.toml"
    if not path.exists():
        return False
    try:
        return Recipe.model_validate(recorded) == load_recipe(path)
    except ValidationError:
        return False


def _limits() -> str:
    return (
        "## What it is not for\n\n"
        "The model knows the images it was trained on and nothing else: an image unlike them still gets a code, and "
        "its reconstruction is whatever in the training data comes nearest."
    )


def _table(rows: Mapping[str, Any]) -> str:
    present = {label: value for label, value in rows.items() if value not in (None, {})}
    lines = [f"| {label} | {f'{v:.5g}' if isinstance(v, float) else v} |" for label, v in present.items()]
    return "\n".join(["| | |", "| --- | --- |", *lines]) if lines else ""
