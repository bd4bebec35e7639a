"""The teacher: its posterior, what the decoder learns of it, and what the encoder does."""

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from models.distributions import DiagonalGaussian
from models.training.objectives import Elbo, Iwae, bound
from models.training.teacher import Teacher, TeacherSpec
from models.vae import VAE
from tests.models.linear_gaussian import (
    LATENTS,
    PIXELS,
    SCALE,
    linear_gaussian,
    log_evidence,
    mixed,
    some_images,
)
from tests.models.tiny import binary_images, tiny

OBJECTIVES = [Elbo(), Iwae(samples=4), Iwae(samples=4, resampled=2)]


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def make_teacher() -> Teacher:
    """Untrained, for the tiny model."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        teacher = Teacher(TeacherSpec(encoder=(16,)), (1, 28, 28), 4)
        for parameter in teacher.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    return teacher


def posterior_precision(model: VAE) -> Tensor:
    """Of every p(z|x) of the linear-Gaussian model, (Z, Z)."""
    weight = model.decoder.layers[0].weight
    return torch.eye(LATENTS, dtype=torch.float64) + weight.T @ weight / SCALE**2


def exact_teacher(model: VAE) -> Teacher:
    """The posterior of the linear-Gaussian model, with its covariances."""
    precision, decoder = posterior_precision(model), model.decoder.layers[0]
    factor = torch.linalg.cholesky(torch.linalg.inv(precision))
    sigma = factor.diagonal()
    rows, columns = torch.tril_indices(LATENTS, LATENTS, -1)
    project = torch.linalg.solve(precision, decoder.weight.T / SCALE**2)
    below = (factor / sigma[:, None])[rows, columns] * LATENTS**0.5
    teacher = Teacher(TeacherSpec(encoder=()), (1, 1, PIXELS), LATENTS).double().requires_grad_(False)
    last = teacher.encoder.layers[0]
    last.weight.copy_(torch.cat([project, torch.zeros(len(last.bias) - LATENTS, PIXELS)]))
    last.bias.copy_(torch.cat([-project @ decoder.bias, sigma.log(), below]))
    return teacher


def test_its_posterior_is_what_its_network_says() -> None:
    teacher, x = make_teacher(), binary_images()
    mean, log_sigma, below = teacher.encoder(x).split([4, 4, 6], dim=-1)
    found = teacher(x)
    torch.testing.assert_close(found.mean, mean)
    for n in range(3):
        unit = torch.eye(4)
        number = iter(below[n] / 2)  # the square root of Z
        for row in range(4):
            for column in range(row):
                unit[row, column] = next(number)
        torch.testing.assert_close(found.factor[n], log_sigma[n].exp()[:, None] * unit)
    assert below.abs().max() > 0.1


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_bound_is_that_of_the_teachers_posterior(objective: Elbo | Iwae) -> None:
    model, x, teacher = tiny(), binary_images(), make_teacher()
    samples = 1 if isinstance(objective, Elbo) else objective.samples
    q = MultivariateNormal(teacher(x).mean, scale_tril=teacher(x).factor)
    epsilon = torch.randn(samples, 3, 4, generator=seeded())
    z = q.mean + (q.scale_tril @ epsilon[..., None])[..., 0]
    log_likelihood = model.likelihood.log_prob(x, model.decoder(z))
    weights = log_likelihood + model.prior.log_prob(z) - q.log_prob(z)
    evidence = (weights.logsumexp(0) - torch.tensor(samples).log()).mean()
    mean, log_sigma = model.posterior(x)
    own = MultivariateNormal(mean, scale_tril=torch.diag_embed(log_sigma.exp()))
    lesson = torch.distributions.kl_divergence(own, q).mean()
    found = bound(model, x, objective, 1.0, seeded(), teacher)
    torch.testing.assert_close(found.log_likelihood, log_likelihood.mean())
    torch.testing.assert_close(found.log_likelihood - found.kl, evidence)
    torch.testing.assert_close(found.loss, lesson - evidence)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_encoder_learns_from_the_lesson_alone_and_nothing_else_does(objective: Elbo | Iwae) -> None:
    model, x, teacher = tiny(), binary_images(), make_teacher()
    weights = [module.layers[0].weight for module in (model.encoder, model.decoder, teacher.encoder)]
    loss = bound(model, x, objective, 1.0, seeded(), teacher).loss
    lesson = teacher(x).detach().kl_from(DiagonalGaussian(*model.posterior(x))).mean()
    encoder, decoder, taught = torch.autograd.grad(loss, weights)
    of_lesson = torch.autograd.grad(lesson, weights, allow_unused=True)
    torch.testing.assert_close(encoder, of_lesson[0])
    assert of_lesson[1:] == (None, None)
    with torch.no_grad():  # another encoder, another lesson: the others' gradient is the same
        weights[0] *= 3
    others = torch.autograd.grad(bound(model, x, objective, 1.0, seeded(), teacher).loss, weights)
    torch.testing.assert_close(others[1:], (decoder, taught))
    assert all(gradient.abs().max() > 0 for gradient in (encoder, decoder, taught))
    assert not torch.allclose(others[0], encoder)


def test_with_the_exact_posterior_every_draw_gives_the_evidence() -> None:
    model = mixed(linear_gaussian(0.3, 0.2))
    x, teacher = some_images(model), exact_teacher(model)
    for objective in (Elbo(), Iwae(samples=2)):
        found = bound(model, x, objective, 1.0, seeded(), teacher)
        torch.testing.assert_close(found.log_likelihood - found.kl, log_evidence(model, x).mean())


def test_the_encoder_comes_to_the_diagonal_posterior_of_the_highest_elbo() -> None:
    """The best one has the exact mean, and of each latent the variance that it has given the others."""
    model = mixed(linear_gaussian(0.3, 0.2))
    x, teacher = some_images(model), exact_teacher(model)
    bias = model.encoder.layers[0].bias.requires_grad_()
    optimizer = torch.optim.LBFGS([bias], max_iter=100, line_search_fn="strong_wolfe", tolerance_grad=1e-10)

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = bound(model, x, Elbo(), 1.0, seeded(), teacher).loss
        value.backward()
        return value

    optimizer.step(loss)
    mean, variance = model.encode(x)
    torch.testing.assert_close(mean, teacher(x).mean, atol=1e-5, rtol=0)
    expected = 1 / posterior_precision(model).diagonal()
    torch.testing.assert_close(variance, expected.expand(len(x), -1), atol=0, rtol=1e-4)
    covariance = torch.linalg.inv(posterior_precision(model))
    assert (covariance.diagonal() > 1.1 * expected).any()  # it is not the marginal variance
