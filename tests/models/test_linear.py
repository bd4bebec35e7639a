"""The linear autoencoder, against scikit-learn's PCA and against probabilistic PCA's formulas with full matrices."""

import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA
from torch import Tensor
from torch.distributions import MultivariateNormal

from models.config import ModelConfig
from models.deterministic import AE
from models.errors import CheckpointError
from models.kinds import build
from models.likelihoods import LinearGaussian
from models.linear import LinearVAE
from models.vae import VAE

LATENTS = 50


@pytest.fixture(scope="module")
def x(digits: np.ndarray) -> Tensor:
    """1,000 real digits, (1000, 784) float32."""
    return torch.from_numpy(digits.reshape(len(digits), -1)).float() / 255


def fitted(x: Tensor, latents: int) -> LinearVAE:
    model = LinearVAE((1, 1, x.shape[1]), latents)
    model.fit(x)
    return model.requires_grad_(False)


@pytest.fixture(scope="module")
def model(x: Tensor) -> LinearVAE:
    return fitted(x, LATENTS)


@pytest.fixture(scope="module")
def pca(x: Tensor) -> PCA:
    return PCA(LATENTS, svd_solver="full").fit(x.double().numpy())


def covariance(model: LinearVAE) -> Tensor:
    """Of p(x) = N(mean, WWᵀ + sigma² I), (D, D) float64."""
    weight = model.decoder.weight.double()
    return weight @ weight.T + (2 * model.likelihood.log_sigma.double()).exp() * torch.eye(len(weight)).double()


def test_it_reconstructs_as_pca_does(model: LinearVAE, pca: PCA, x: Tensor) -> None:
    theirs = torch.from_numpy(pca.inverse_transform(pca.transform(x.double().numpy())))
    ours = model.project(x).double()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    errors = [(image - x).square().mean().item() for image in (ours, theirs)]
    assert errors[0] == pytest.approx(errors[1], rel=1e-5)
    torch.testing.assert_close(model.reconstruct(x).double(), theirs.clamp(0, 1), rtol=0, atol=1e-5)


def test_its_directions_are_the_principal_components_from_the_first(model: LinearVAE, pca: PCA) -> None:
    weight = model.decoder.weight.double()
    directions = weight / weight.norm(dim=0)
    cosines = (directions * torch.from_numpy(pca.components_).T).sum(0).abs()
    torch.testing.assert_close(cosines, torch.ones(LATENTS, dtype=torch.float64), rtol=0, atol=1e-6)
    assert (directions.sum(0) >= 0).all()
    assert (weight.norm(dim=0).diff() < 0).all()


def test_its_evidence_is_pcas(model: LinearVAE, pca: PCA, x: Tensor) -> None:
    # scikit-learn divides by N - 1, the likelihood is greatest with N.
    shrink = (len(x) - 1) / len(x)
    pca.explained_variance_ *= shrink
    pca.noise_variance_ *= shrink
    try:
        expected = pca.score_samples(x.double().numpy())
    finally:
        pca.explained_variance_ /= shrink
        pca.noise_variance_ /= shrink
    evidence = MultivariateNormal(model.decoder.bias.double(), covariance(model)).log_prob(x.double())
    np.testing.assert_allclose(evidence, expected, rtol=1e-4)
    # The posterior is exact, and the ELBO therefore the evidence, whatever is drawn.
    score = model.score(x[:100], torch.full((1, LATENTS), 9.0))
    np.testing.assert_allclose(-score.surprise, expected[:100], rtol=1e-4)
    assert -score.surprise.mean().item() == pytest.approx(expected[:100].mean(), rel=1e-5)
    # And its reconstruction term the expectation over draws: here of points with the right moments.
    points = LATENTS**0.5 * torch.eye(LATENTS)
    drawn = model.elbo_terms(x[:100], torch.cat([points, -points])[:, None]).log_likelihood.mean(0)
    torch.testing.assert_close(score.log_likelihood, drawn, rtol=1e-4, atol=0.01)


def test_its_posterior_is_the_general_one_with_a_full_inverse(model: LinearVAE, x: Tensor) -> None:
    """p(z|x) = N(Wᵀ C⁻¹ (x - mean), I - Wᵀ C⁻¹ W): a Gaussian vector given a part of it."""
    weight = model.decoder.weight.double()
    gain = weight.T @ torch.linalg.inv(covariance(model))
    mean, variance = model.encode(x)
    assert variance is not None
    torch.testing.assert_close(mean.double(), (x.double() - model.decoder.bias.double()) @ gain.T, rtol=1e-4, atol=1e-4)
    full = torch.eye(LATENTS, dtype=torch.float64) - gain @ weight
    torch.testing.assert_close(variance.double(), full.diagonal().expand(len(x), -1), rtol=1e-4, atol=1e-6)
    assert (full - full.diagonal().diag()).abs().max() < 1e-6


def test_a_small_change_of_the_weights_is_no_likelier(x: Tensor) -> None:
    data = x[:, 300:340]
    model = fitted(data, 5).double()

    def evidence() -> float:
        return MultivariateNormal(model.decoder.bias, covariance(model)).log_prob(data.double()).mean().item()

    best = evidence()
    generator = torch.Generator().manual_seed(0)
    for parameter in (model.decoder.weight, model.decoder.bias, model.likelihood.log_sigma):
        for step in (1e-2, -1e-2):
            before = parameter.clone()
            parameter += step * torch.randn(parameter.shape, generator=generator)
            assert evidence() < best
            parameter.copy_(before)


def test_samples_are_distributed_as_the_data_but_for_what_is_left_out(x: Tensor) -> None:
    data = x[:, 300:340]
    model = fitted(data, 30)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(100_000, 30, generator=generator)
    means = model.decoder(model.from_noise(noise))
    images = means + model.likelihood.log_sigma.exp() * torch.randn(means.shape, generator=generator)
    torch.testing.assert_close(images.mean(0), data.mean(0), rtol=0, atol=0.01)
    torch.testing.assert_close(torch.cov(images.T), torch.cov(data.T, correction=0), rtol=0, atol=0.003)
    assert torch.equal(model.decode(noise[:9]), means[:9].clamp(0, 1))


def test_it_is_built_as_every_kind_is() -> None:
    document = {
        "kind": "linear",
        "architecture": {"latents": LATENTS},
        "likelihood": {"kind": "linear-gaussian"},
    }
    built = build(ModelConfig.model_validate(document))
    assert isinstance(built, LinearVAE)
    assert built.generative
    shapes = {key: tuple(tensor.shape) for key, tensor in built.state_dict().items()}
    assert shapes == {
        "decoder.weight": (784, LATENTS),
        "decoder.bias": (784,),
        "likelihood.log_sigma": (),
    }
    for changes, expected in (
        ({"likelihood": {"kind": "bernoulli"}}, "expected the likelihood 'linear-gaussian', found 'bernoulli'"),
        ({"prior": {"kind": "flow", "couplings": 1, "hidden": []}}, "expected the prior 'standard-normal', found 'fl"),
        ({"architecture": {"latents": 784}}, "expected fewer latents than the image's 784 pixels, found 784"),
    ):
        with pytest.raises(CheckpointError, match=f"^kind 'linear': {expected}"):
            build(ModelConfig.model_validate(document | changes))


def test_data_that_do_not_determine_the_directions_are_an_error(x: Tensor) -> None:
    with pytest.raises(ValueError, match=r"vary in more than 10 directions, which are the latents, found 9$"):
        fitted(x[:10], 10)
    with pytest.raises(ValueError, match=r"vary in more than 1 directions, which are the latents, found 0$"):
        fitted(x[:1].expand(10, -1), 1)
    fitted(x[:10], 8)
    corners = torch.cat([torch.eye(6), -torch.eye(6)])  # as much in every direction
    with pytest.raises(ValueError, match=r"more along 2 directions, .* than along the others, found no difference$"):
        fitted(corners, 2)


def test_a_direction_that_is_neither_brighter_nor_darker_is_kept() -> None:
    along = torch.tensor([1.0, -1.0, 0.0, 0.0])
    x = torch.cat([scale * along[None] for scale in (-2.0, 2.0)] + [0.1 * torch.eye(4), -0.1 * torch.eye(4)])
    weight = fitted(x, 1).decoder.weight[:, 0]
    assert (weight @ along).abs() / weight.norm() / along.norm() == pytest.approx(1, abs=1e-6)


@pytest.fixture(scope="module")
def synthetic() -> Tensor:
    """Data in 12 dimensions that vary in 3 directions most: (500, 12)."""
    generator = torch.Generator().manual_seed(0)
    basis, _ = torch.linalg.qr(torch.randn(12, 3, generator=generator))
    codes = torch.randn(500, 3, generator=generator) * torch.tensor([1.5, 1.0, 0.7])
    return codes @ basis.T + 0.1 * torch.randn(500, 12, generator=generator) + 0.5


def trained(model: AE | VAE, x: Tensor, steps: int) -> AE | VAE:
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        terms = model.terms(x, generator)
        optimizer.zero_grad()
        (terms.kl.sum(-1) - terms.log_likelihood).mean().backward()
        optimizer.step()
        schedule.step()
    return model.requires_grad_(False)


def linear_network(kind: type[AE] | type[VAE]) -> AE | VAE:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return kind((1, 3, 4), (), (), 3, LinearGaussian())


@pytest.mark.parametrize(("kind", "angle"), [(AE, 0.1), (VAE, 1.0)])
def test_a_linear_autoencoder_learns_the_subspace_of_the_closed_form(
    synthetic: Tensor, kind: type[AE] | type[VAE], angle: float
) -> None:
    """Source: Baldi & Hornik 1989 for the autoencoder, Lucas et al. 2019 for the variational one."""
    expected = fitted(synthetic, 3)
    model = trained(linear_network(kind), synthetic, 600)
    learnt = model.decoder.layers[0].weight.numpy()
    angles = np.rad2deg(subspace_angles(learnt, expected.decoder.weight.numpy()))
    assert angles.max() < angle
    if kind is VAE:
        theirs, ours = (m.likelihood.log_sigma.exp().item() for m in (model, expected))
        assert theirs == pytest.approx(ours, rel=0.02)
    else:
        torch.testing.assert_close(
            model.decoder(model.encode(synthetic).mean), expected.project(synthetic), rtol=0, atol=2e-3
        )


def test_the_subspace_is_determined_but_not_the_codes(synthetic: Tensor) -> None:
    """Twice the encoder with half the decoder, or both turned, is another solution, as good to the last digit."""
    model = linear_network(AE)
    encoder, decoder = model.encoder.layers[0], model.decoder.layers[0]
    codes, images = model.encode(synthetic).mean, model.decoder(model.encode(synthetic).mean)
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)))
    with torch.no_grad():
        for change, inverse in ((2 * torch.eye(3), torch.eye(3) / 2), (turn, turn.T)):
            encoder.weight.copy_(change @ encoder.weight)
            encoder.bias.copy_(change @ encoder.bias)
            decoder.weight.copy_(decoder.weight @ inverse)
            assert not torch.allclose(model.encode(synthetic).mean, codes, atol=0.1)
            torch.testing.assert_close(model.decoder(model.encode(synthetic).mean), images, rtol=1e-5, atol=1e-5)
