import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from models.autoencoder import Autoencoder
from models.checkpoint import read_config, update_checkpoint
from models.config import ModelConfig, Novelty
from models.kinds import build
from models.linear import LinearVAE
from models.novelty import fit_novelty, percentile, score
from models.vae import VAE
from tests.models.tiny import save_tiny, tiny

KINDS = ("vae", "flow", "ae", "linear")


def model(kind: str, x: Tensor) -> Autoencoder:
    """A model of each sort of score; the linear one is fitted."""
    if kind == "linear":
        linear = LinearVAE((1, 28, 28), 5)
        linear.fit(x)
        return linear.requires_grad_(False)
    if kind == "vae":
        return tiny().requires_grad_(False)
    document = {
        "kind": "ae" if kind == "ae" else "vae",
        "architecture": {"encoder": [16], "latents": 4, "decoder": [12]},
        "likelihood": {"kind": "bernoulli"},
    }
    if kind == "flow":
        document["prior"] = {"kind": "flow", "couplings": 2, "hidden": [8]}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(ModelConfig.model_validate(document)).requires_grad_(False)


@pytest.fixture(scope="module")
def x(digits: np.ndarray) -> Tensor:
    """1,000 real digits, (1000, 784)."""
    return torch.from_numpy(digits.reshape(-1, 784)).float() / 255


@pytest.mark.parametrize("kind", KINDS)
def test_other_digits_are_as_unusual_as_chance_has_it(kind: str, x: Tensor) -> None:
    scorer = model(kind, x[:400])
    novelty = fit_novelty(scorer, x[400:700])
    assert (novelty.images, novelty.draws, len(novelty.quantiles)) == (300, 8, 201)
    ranks = np.sort(percentile(novelty, score(scorer, x[700:]).surprise.numpy()))
    # Kolmogorov and Smirnov's distance of two samples of 300 is below 0.15 in 998 of 1,000 cases.
    assert np.abs(ranks / 100 - (np.arange(300) + 0.5) / 300).max() < 0.15
    own = np.sort(percentile(novelty, score(scorer, x[400:700]).surprise.numpy()))
    np.testing.assert_allclose(own, np.linspace(0, 100, 300), atol=0.6)


def test_what_is_unlike_digits_is_unusual(x: Tensor) -> None:
    scorer = model("linear", x[:400])
    novelty = fit_novelty(scorer, x[400:700])
    shuffled = x[700:, torch.randperm(784, generator=torch.Generator().manual_seed(0))]
    assert np.median(percentile(novelty, score(scorer, shuffled).surprise.numpy())) > 99
    assert percentile(novelty, score(scorer, 1 - x[700:]).surprise.numpy()).min() == 100


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_is_scored_the_same_whatever_is_beside_it(kind: str, x: Tensor) -> None:
    scorer = model(kind, x[:400])
    together = score(scorer, x[:64])
    alone = [score(scorer, image[None]) for image in x[:64]]
    backwards = score(scorer, x[:64].flip(0))
    for name in ("log_likelihood", "surprise", "kl"):
        whole = getattr(together, name)
        if kind == "ae" and name == "kl":
            assert whole is None
            continue
        assert whole.shape == (64,)
        torch.testing.assert_close(torch.cat([getattr(one, name) for one in alone]), whole, rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(getattr(backwards, name).flip(0), whole, rtol=1e-5, atol=1e-4)
    assert torch.equal(score(scorer, x[:64]).surprise, together.surprise)


@pytest.mark.parametrize("kind", ["vae", "flow"])
def test_the_surprise_is_minus_the_elbo_over_the_draws(kind: str, x: Tensor) -> None:
    scorer = model(kind, x)
    assert isinstance(scorer, VAE)
    epsilon = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    terms = [scorer.elbo_terms(x[:9], row.expand(9, 4)) for row in epsilon]
    expected = torch.stack([t.kl.sum(-1) - t.log_likelihood for t in terms]).mean(0)
    torch.testing.assert_close(score(scorer, x[:9]).surprise, expected)


def test_the_ends_are_0_and_100_and_between_quantiles_it_is_linear() -> None:
    novelty = Novelty(images=9, draws=1, quantiles=(-50.0, 10.0, 30.0))
    surprise = np.array([-1e9, -50.0, -20.0, 10.0, 20.0, 30.0, 1e9], np.float32)
    ranks = percentile(novelty, surprise)
    assert ranks.dtype == np.float32
    assert ranks.tolist() == [0, 0, 25, 50, 75, 100, 100]


def test_a_single_digit_held_out_has_all_the_quantiles(x: Tensor) -> None:
    scorer = tiny().requires_grad_(False)
    novelty = fit_novelty(scorer, x[:1])
    assert len(set(novelty.quantiles)) == 1
    assert novelty == Novelty.model_validate_json(json.dumps(novelty.model_dump()))


def test_quantiles_survive_the_file_to_the_bit(tmp_path: Path, x: Tensor) -> None:
    scorer = save_tiny(tmp_path / "tiny").requires_grad_(False)
    novelty = fit_novelty(scorer, x[:50])
    update_checkpoint(tmp_path / "tiny", read_config(tmp_path / "tiny").weights.sha256, novelty=novelty)
    assert read_config(tmp_path / "tiny").novelty == novelty
