import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.numpy import load_file
from torch.distributions import MultivariateNormal

from models.autoencoder import Autoencoder
from models.card import METRICS
from models.checkpoint import load_checkpoint
from models.config import ModelConfig
from models.data import Digits, load_mnist
from models.data.pixels import as_vectors, binarize
from models.errors import InputError, ShapeError
from models.evaluation import evaluate, importance_sample
from models.evaluation.evaluate import pixels
from models.evaluation.likelihood import nll_figures
from models.kinds import build
from models.likelihoods import Bernoulli, Gaussian
from models.linear import LinearVAE
from models.novelty import fit_novelty
from models.training import train
from models.vae import VAE
from tests.conftest import ROOT
from tests.models.tiny import tiny
from tests.models.training.recipes import first, make_recipe


@pytest.fixture(scope="module")
def folder(mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that has learnt a little."""
    out = tmp_path_factory.mktemp("run")
    recipe = make_recipe(training__epochs=15, training__learning_rate=0.01)
    train(recipe, first(load_mnist(mnist, "train"), 1000), out, threads=1)
    return out / "checkpoint"


@pytest.fixture(scope="module")
def model(folder: Path) -> VAE:
    model = load_checkpoint(folder).model
    assert isinstance(model, VAE)
    return model


@pytest.fixture(scope="module")
def digits(mnist: Path) -> Digits:
    return first(load_mnist(mnist, "test"), 105)


@pytest.fixture(scope="module")
def figures(model: VAE, digits: Digits) -> dict[str, Any]:
    return dict(evaluate(model, digits, samples=30))


def test_the_figures_are_finite_and_hang_together(figures: dict[str, Any]) -> None:
    by_latent = figures["test_kl_by_latent_nats"]
    assert all(map(math.isfinite, [*by_latent, *(v for v in figures.values() if isinstance(v, int | float))]))
    assert sum(by_latent) == pytest.approx(figures["test_kl_nats"])
    assert figures["test_images"] == 105
    assert figures["nll_samples"] == 30
    assert figures["evaluation_seed"] == 0
    elbo = figures["test_log_likelihood_nats"] - figures["test_kl_nats"]
    assert figures["test_negative_elbo_nats"] == pytest.approx(-elbo)
    assert figures["test_kl_nats"] > 1
    assert figures["test_nll_nats"] < figures["test_negative_elbo_nats"] < 220


def test_the_seed_decides_the_figures(model: VAE, digits: Digits, figures: dict[str, Any]) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    assert evaluate(model, digits, samples=30) == figures
    assert torch.equal(before, torch.get_rng_state())
    other = evaluate(model, digits, samples=30, seed=1)
    assert other["test_nll_nats"] != figures["test_nll_nats"]
    assert other["test_nll_nats"] == pytest.approx(figures["test_nll_nats"], abs=5)
    assert other["reconstruction_mse"] == figures["reconstruction_mse"]  # which is of the grey digits


def _numpy_mlp(tensors: dict[str, npt.NDArray[np.float32]], name: str, x: npt.NDArray[np.float64]) -> npt.NDArray:
    hidden = np.maximum(x @ tensors[f"{name}.layers.0.weight"].T + tensors[f"{name}.layers.0.bias"], 0)
    return hidden @ tensors[f"{name}.layers.1.weight"].T + tensors[f"{name}.layers.1.bias"]  # type: ignore[no-any-return]


def test_the_squared_error_is_what_numpy_computes(folder: Path, digits: Digits, figures: dict[str, Any]) -> None:
    tensors = load_file(folder / "model.safetensors")
    x = digits.images.reshape(-1, 784) / 255
    mean = _numpy_mlp(tensors, "encoder", x)[:, :4]
    decoded = 1 / (1 + np.exp(-_numpy_mlp(tensors, "decoder", mean)))
    assert figures["reconstruction_mse"] == pytest.approx(((decoded - x) ** 2).mean(), rel=1e-5)
    assert figures["reconstruction_mse"] < ((x - x.mean(0)) ** 2).mean()  # better than the mean digit


def test_the_elbo_is_what_numpy_computes(folder: Path, digits: Digits, figures: dict[str, Any]) -> None:
    tensors = load_file(folder / "model.safetensors")
    generator = np.random.default_rng(0)
    x = (generator.random((105, 784)) < digits.images.reshape(-1, 784) / 255).astype(float)
    mean, log_sigma = np.split(_numpy_mlp(tensors, "encoder", x), 2, axis=1)
    logits = _numpy_mlp(tensors, "decoder", mean + np.exp(log_sigma) * generator.standard_normal(mean.shape))
    log_likelihood = (x * logits - np.logaddexp(0, logits)).sum(1).mean()
    kl = 0.5 * (mean**2 + np.exp(2 * log_sigma) - 1 - 2 * log_sigma).sum(1).mean()
    assert figures["test_kl_nats"] == pytest.approx(kl, abs=0.2)  # of another binarization
    assert figures["test_log_likelihood_nats"] == pytest.approx(log_likelihood, abs=4)


def test_the_likelihood_is_of_the_binarized_digits(model: VAE, digits: Digits, figures: dict[str, Any]) -> None:
    grey = as_vectors(digits)
    binary = binarize(grey, torch.Generator().manual_seed(0))
    of_binary, of_grey = (
        nll_figures(model, x, 30, "float32", torch.Generator().manual_seed(9))["test_nll_nats"] for x in (binary, grey)
    )
    assert figures["test_nll_nats"] == pytest.approx(of_binary, abs=abs(of_binary - of_grey) / 4)  # of other noise


def test_more_samples_tighten_the_bound(model: VAE, digits: Digits) -> None:
    x = torch.from_numpy(digits.images.reshape(-1, 784) > 127).float()
    nll = [
        -importance_sample(model, x, k, torch.Generator().manual_seed(0)).log_likelihood.mean().item()
        for k in (1, 10, 100, 1000)
    ]
    assert nll == sorted(nll, reverse=True)
    assert nll[0] > nll[-1] + 1


def test_progress_comes_to_the_end_of_everything(model: VAE, digits: Digits) -> None:
    told: dict[str, list[int]] = {}
    evaluate(model, digits, samples=1, progress=lambda what, *done: told.update({what: list(done)}))
    assert told["NLL"] == [105, 105]
    assert all(done == total for done, total in told.values())


def test_a_unit_that_ignores_the_image_is_not_active(digits: Digits) -> None:
    model = tiny().requires_grad_(False)
    last = model.encoder.layers[-1]
    last.weight[0] *= 0  # type: ignore[operator]
    last.weight[1:4] *= 10  # type: ignore[operator]
    assert evaluate(model, digits, samples=1)["active_units"] == 3
    assert evaluate(model, first(digits, 1), samples=1)["active_units"] == 0  # one image tells nothing


def test_a_gaussian_likelihood_is_of_the_grey_digits(digits: Digits) -> None:
    model = tiny(Gaussian(0.5))
    grey = torch.from_numpy(digits.images.reshape(-1, 784)).float() / 255
    mean, log_sigma = model.posterior(grey)
    kl = (mean.square() + (2 * log_sigma).exp() - 1 - 2 * log_sigma).sum(-1).mean() / 2
    assert evaluate(model, digits, samples=1)["test_kl_nats"] == pytest.approx(kl.item(), rel=1e-5)


def test_digits_of_another_size_are_an_error(digits: Digits) -> None:
    model = VAE((196,), (8,), (8,), 2, Bernoulli())
    with pytest.raises(ShapeError, match=r"expected images of 196 pixels.* found 784"):
        evaluate(model, digits, samples=1)


@pytest.mark.parametrize("labels", [np.zeros(3, np.uint8), np.zeros((20, 1), np.uint8), np.zeros(20), ["7"] * 20])
def test_labels_that_are_none_are_an_error(model: VAE, digits: Digits, labels: Any) -> None:
    with pytest.raises(InputError, match="expected a whole number for each of the 20 images as its label, found"):
        evaluate(model, Digits(digits.images[:20], labels), samples=1)


def test_digits_that_are_not_mnists_size_are_an_error() -> None:
    model = VAE((32 * 32,), (8,), (8,), 2, Bernoulli())
    larger = Digits(np.zeros((5, 32, 32), np.uint8), np.zeros(5, np.uint8))
    with pytest.raises(ShapeError, match=r"^expected images of 28x28 pixels, .* found 32x32$"):
        evaluate(model, larger, samples=1)


@pytest.mark.parametrize("samples", [0, -1])
def test_without_samples_nothing_is_begun(model: VAE, digits: Digits, samples: int) -> None:
    told: list[str] = []
    with pytest.raises(InputError, match=f"^samples: expected 1 or more, found {samples}$"):
        evaluate(model, digits, samples=samples, progress=lambda what, *_: told.append(what))
    assert not told
    with pytest.raises(InputError, match=f"^samples: expected 1 or more, found {samples}$"):
        importance_sample(model, pixels(digits, model), samples, torch.Generator())


@pytest.mark.parametrize("none", ["digits", "training", "unlike"])
def test_without_digits_nothing_is_begun(model: VAE, digits: Digits, none: str) -> None:
    told: list[str] = []
    novelty = fit_novelty(model, pixels(digits, model))
    given: dict[str, Any] = {"digits": digits, "novelty": novelty, none: first(digits, 0)}
    with pytest.raises(InputError, match=r"^expected one image or more, uint8 .*, found uint8 \(0, 28, 28\)$"):
        evaluate(model, **given, progress=lambda what, *_: told.append(what))
    assert not told


LATENTS = 3


def build_kind(kind: str, **changes: Any) -> Autoencoder:
    networks = {} if kind == "linear" else {"encoder": [16], "decoder": [16]}
    corruption = {"corruption": {"gaussian": 0.5}} if kind == "dae" else {}
    config = {
        "kind": kind,
        "architecture": {"latents": LATENTS} | networks | corruption,
        "likelihood": {"kind": "linear-gaussian" if kind == "linear" else "bernoulli"},
    }
    torch.manual_seed(0)
    return build(ModelConfig.model_validate(config | changes)).requires_grad_(False)


OF_ALL = {
    "test_images",
    "evaluation_seed",
    "test_log_likelihood_nats",
    "reconstruction_mse",
    "reconstruction_psnr_db",
    "noisy_mse",
    "denoised_mse",
    "median_filter_mse",
    "linear_probe_accuracy",
    "knn_accuracy",
    "training_digits_used",
    "novelty_deviation_points",
    "novelty_auroc_shuffled",
    "novelty_auroc_inverted",
    "novelty_auroc_unlike",
}
OF_A_PRIOR = {
    "test_negative_elbo_nats",
    "test_kl_nats",
    "test_nll_nats",
    "nll_samples",
    "test_nll_by_posterior_nats",
    "nll_precision",
    "active_units",
    "fid",
    "fid_floor",
    "sample_confidence",
    "sample_class_entropy_nats",
}
FLOW = {"prior": {"kind": "flow", "couplings": 2, "hidden": [8]}}


@pytest.mark.parametrize(
    ("kind", "changes", "expected"),
    [
        ("ae", {}, OF_ALL),
        ("dae", {}, OF_ALL),
        ("linear", {}, (OF_ALL | OF_A_PRIOR | {"test_kl_by_latent_nats"}) - {"test_nll_by_posterior_nats"}),
        ("vae", {}, OF_ALL | OF_A_PRIOR | {"test_kl_by_latent_nats"}),
        ("vae", FLOW, OF_ALL | OF_A_PRIOR),
    ],
)
def test_every_kind_gets_what_applies_to_it(
    kind: str, changes: dict[str, Any], expected: set[str], digits: Digits, mnist: Path
) -> None:
    model = build_kind(kind, **changes)
    training = first(load_mnist(mnist, "train"), 300)
    x = pixels(training, model)
    if isinstance(model, LinearVAE):
        model.fit(x)
    novelty = fit_novelty(model, x)
    figures = evaluate(model, digits, training=training, novelty=novelty, unlike=training, samples=2)
    assert set(figures) == expected
    assert set(METRICS) >= expected - {"test_kl_by_latent_nats"}
    assert figures["training_digits_used"] == 300


def test_the_linear_kinds_likelihood_is_exact_and_of_the_grey_digits(digits: Digits, mnist: Path) -> None:
    model = build_kind("linear")
    assert isinstance(model, LinearVAE)
    model.fit(pixels(load_mnist(mnist, "train"), model))
    model.requires_grad_(False)
    weight, variance = model.decoder.weight.double(), (2 * model.likelihood.log_sigma.double()).exp()
    covariance = weight @ weight.T + variance * torch.eye(784, dtype=torch.float64)
    exact = MultivariateNormal(model.decoder.bias.double(), covariance).log_prob(pixels(digits, model).double()).mean()
    figures = evaluate(model, digits, samples=1000)
    assert figures["nll_samples"] == 1
    assert figures["test_nll_nats"] == pytest.approx(-exact.item(), abs=0.01)
    # The ELBO too, as q is the exact posterior, but for the noise of one draw: sqrt(Z / 2) nats an image.
    assert figures["test_negative_elbo_nats"] == pytest.approx(-exact.item(), abs=0.6)


def test_bfloat16_moves_the_likelihood_by_less_than_a_hundredth_of_a_nat(mnist: Path) -> None:
    model = load_checkpoint(ROOT / "models" / "zoo" / "mnist-mlp").model
    assert isinstance(model, VAE)
    x = binarize(pixels(load_mnist(mnist, "test"), model), torch.Generator().manual_seed(0))
    both = [
        nll_figures(model, x[:400], 250, precision, torch.Generator().manual_seed(0))
        for precision in ("float32", "bfloat16")
    ]
    single, half = (figures["test_nll_by_posterior_nats"] for figures in both)
    assert single != half
    assert single == pytest.approx(half, abs=0.01)
    # The other proposal is itself computed in half precision: other draws, and their noise besides.
    assert both[0]["test_nll_nats"] == pytest.approx(both[1]["test_nll_nats"], abs=0.05)
    assert all(figures["test_nll_nats"] < figures["test_nll_by_posterior_nats"] for figures in both)
