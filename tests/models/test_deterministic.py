import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli as TorchBernoulli

from models.config import ModelConfig
from models.deterministic import AE, DAE, Corruption
from models.errors import CheckpointError
from models.kinds import build
from models.likelihoods import Bernoulli

COUNT = 4000


def config(kind: str = "ae", prior: object = None, **architecture: object) -> ModelConfig:
    return ModelConfig.model_validate(
        {
            "kind": kind,
            "input_shape": (1, 4, 6),
            "architecture": {"encoder": [8], "latents": 3, "decoder": [9]} | architecture,
            "likelihood": {"kind": "bernoulli"},
            "prior": prior or {"kind": "standard-normal"},
        }
    )


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 5) -> Tensor:
    return torch.rand(count, 24, generator=seeded())


@pytest.mark.parametrize("kind", ["ae", "dae"])
def test_an_image_has_one_code_and_no_variance(kind: str) -> None:
    model = build(config(kind, **({"corruption": {"masking": 0.5}} if kind == "dae" else {})))
    assert not model.generative
    x = images()
    mean, variance = model.encode(x)
    assert mean.shape == (5, 3)
    assert variance is None
    reconstruction = model.reconstruct(x)
    assert torch.equal(reconstruction, model.decode(mean))
    assert reconstruction.shape == (5, 24)
    assert ((reconstruction >= 0) & (reconstruction <= 1)).all()


@pytest.mark.parametrize("encoder", [[8], [], {"channels": [4], "blocks": [1]}])
def test_its_networks_are_those_of_every_kind(encoder: object) -> None:
    model = build(config(encoder=encoder, decoder=encoder))
    assert model.encode(images()).mean.shape == (5, 3)
    assert model.reconstruct(images()).shape == (5, 24)


def test_what_it_maximises_is_the_log_likelihood_of_the_image_given_its_code() -> None:
    model = build(config())
    assert isinstance(model, AE)
    x = images().round()
    terms, score = model.terms(x), model.score(x, torch.randn(2, 3))
    expected = TorchBernoulli(logits=model.decoder(model.encoder(x))).log_prob(x).sum(-1)
    torch.testing.assert_close(terms.log_likelihood, expected)
    assert terms.kl.shape == (5, 0)
    torch.testing.assert_close(score.log_likelihood, expected)
    assert score.kl is None
    torch.testing.assert_close(score.surprise, -expected)


@pytest.mark.parametrize("kind", ["ae", "dae"])
def test_there_is_no_prior_to_choose(kind: str) -> None:
    with pytest.raises(CheckpointError, match=f"^kind '{kind}': a deterministic autoencoder has no prior .*'flow'$"):
        build(config(kind, prior={"kind": "flow", "couplings": 2, "hidden": [4]}))


def test_a_denoising_autoencoder_sees_noise_and_is_asked_for_what_was_there() -> None:
    corruption = Corruption(gaussian=0.5, masking=0.8)
    model = DAE((1, 4, 6), (8,), (9,), 3, Bernoulli(), corruption=corruption)
    x = images()
    seen = corruption.apply(x, seeded(7))
    expected = model.likelihood.log_prob(x, model.decoder(model.encoder(seen)))
    torch.testing.assert_close(model.terms(x, seeded(7)).log_likelihood, expected)
    clean = model.likelihood.log_prob(x, model.decoder(model.encoder(x)))
    torch.testing.assert_close(model.score(x, torch.zeros(1, 3)).log_likelihood, clean)
    assert not torch.allclose(clean, expected)


@pytest.mark.parametrize("corruption", [{"gaussian": 2.0}, {"masking": 1.0}, {"gaussian": 0.3, "masking": 0.9}])
def test_a_corrupted_image_is_one_still_and_the_seed_decides_it(corruption: dict[str, float]) -> None:
    x, noise = images(500), Corruption.model_validate(corruption)
    before = x.clone()
    seen = noise.apply(x, seeded(1))
    assert seen.shape == x.shape
    assert ((seen >= 0) & (seen <= 1)).all()
    assert torch.equal(x, before)
    assert not torch.equal(seen, x)
    assert torch.equal(seen, noise.apply(x, seeded(1)))
    assert not torch.equal(seen, noise.apply(x, seeded(2)))


def test_gaussian_noise_is_of_every_strength_up_to_the_largest() -> None:
    x = torch.full((COUNT, 1000), 0.5)  # so far from both ends that none is cut off
    noise = Corruption(gaussian=0.1).apply(x, seeded()) - x
    sigma = noise.std(1)
    # sigma ~ U(0, 0.1), so that the fourth moment of the noise is 3 E[sigma^4].
    assert sigma.max() == pytest.approx(0.1, rel=0.1)
    assert sigma.sort().values.tolist()[:: COUNT // 10] == pytest.approx([i / 100 for i in range(10)], abs=0.004)
    assert noise.mean().item() == pytest.approx(0, abs=1e-4)
    standardized = noise / sigma[:, None]
    assert standardized.pow(3).mean().item() == pytest.approx(0, abs=0.02)
    assert standardized.pow(4).mean().item() == pytest.approx(3, rel=0.02)
    assert torch.corrcoef(noise[:, :20].T).fill_diagonal_(0).abs().max() < 0.1  # pixel by pixel


def test_masking_takes_away_every_share_up_to_the_largest_and_leaves_the_rest() -> None:
    x = torch.full((COUNT, 1000), 0.7)
    seen = Corruption(masking=0.8).apply(x, seeded())
    assert ((seen == 0) | (seen == x)).all()
    shares = (seen == 0).float().mean(1).sort().values
    assert shares.tolist()[:: COUNT // 10] == pytest.approx([0.08 * i for i in range(10)], abs=0.03)


def test_of_two_noises_each_image_has_one_and_half_of_them_either() -> None:
    x = torch.full((COUNT, 100), 0.5)
    seen = Corruption(gaussian=0.1, masking=0.9).apply(x, seeded())
    masked = ((seen == 0) | (seen == 0.5)).all(1)
    assert masked.float().mean().item() == pytest.approx(0.5, abs=5 * 0.5 / COUNT**0.5)
    assert (seen[~masked] != 0).all()


@pytest.mark.parametrize(
    ("corruption", "expected"),
    [
        ({}, "corruption: expected gaussian or masking noise above 0, found neither"),
        ({"gaussian": 0, "masking": 0}, "corruption: expected gaussian or masking noise above 0, found neither"),
        ({"masking": 1.5}, "corruption.masking: input should be less than or equal to 1, found 1.5"),
        ({"gaussian": -1}, "corruption.gaussian: input should be greater than or equal to 0, found -1"),
        ({"salt": 0.5}, "corruption.salt: extra inputs are not permitted"),
    ],
)
def test_a_corruption_that_is_none_is_named(corruption: dict[str, float], expected: str) -> None:
    with pytest.raises(CheckpointError, match=f"^architecture of kind 'dae': {expected}"):
        build(config("dae", corruption=corruption))
