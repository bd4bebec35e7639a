import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from models.config import ModelConfig
from models.distributions import FullGaussian
from models.kinds import build
from models.laplace import laplace_approximation
from models.priors import Flow
from models.vae import VAE
from tests.models.linear_gaussian import LATENTS, SCALE, linear_gaussian, mixed, some_images
from tests.models.tiny import binary_images


def gaussians(found: FullGaussian) -> MultivariateNormal:
    return MultivariateNormal(found.mean, scale_tril=found.factor)


@pytest.mark.parametrize("start", [0.0, 0.7, -5.0])
@pytest.mark.parametrize(("steps", "widened"), [(1, 1.0), (2, 1.3)])
def test_of_a_linear_decoder_it_is_the_exact_posterior_wherever_the_encoder_points(
    start: float, steps: int, widened: float
) -> None:
    model = mixed(linear_gaussian(start, 0.3))
    x = some_images(model)
    weight, bias = model.decoder.layers[0].weight, model.decoder.layers[0].bias
    precision = torch.eye(LATENTS, dtype=torch.float64) + weight.T @ weight / SCALE**2
    mode = (x - bias) @ weight / SCALE**2 @ torch.linalg.inv(precision)
    found = gaussians(laplace_approximation(model, x, steps, widened))
    torch.testing.assert_close(found.mean, mode)
    torch.testing.assert_close(found.precision_matrix, (precision / widened**2).expand(len(x), -1, -1))


@pytest.mark.parametrize("prior", [{"kind": "standard-normal"}, {"kind": "flow", "couplings": 2, "hidden": [5]}])
def test_an_encoder_that_is_all_too_sure_leaves_a_covariance(prior: dict[str, object]) -> None:
    config = {"kind": "vae", "architecture": {"encoder": [5], "latents": 3, "decoder": [6]}, "prior": prior}
    model = build(ModelConfig.model_validate(config | {"likelihood": {"kind": "bernoulli"}})).requires_grad_(False)
    assert isinstance(model, VAE)
    x = binary_images(4)
    model.encoder.layers[-1].weight[3:] = 0
    factors = []
    for log_sigma in (-4.0, -20.0):  # the second vanishes beside the code
        model.encoder.layers[-1].bias[3:] = log_sigma
        factors.append(laplace_approximation(model, x).factor)
    torch.testing.assert_close(*factors, atol=0.02, rtol=0.02)


def test_a_flow_bends_the_prior_that_the_mode_and_the_precision_see() -> None:
    model = mixed(linear_gaussian())
    flow = Flow(LATENTS, 3, (4,)).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for coupling in flow.couplings:  # constant shifts and scales: the prior is a Gaussian, though not N(0, I)
            bias = coupling.network.layers[-1].bias
            bias.copy_(torch.randn(bias.shape, generator=generator, dtype=torch.float64))
    x = some_images(model)
    model.prior = flow
    noise = flow.to_noise(torch.cat((torch.zeros(1, LATENTS), torch.eye(LATENTS))).double()).detach()
    offset, jacobian = noise[0], (noise[1:] - noise[0]).T
    weight, bias = model.decoder.layers[0].weight, model.decoder.layers[0].bias
    precision = jacobian.T @ jacobian + weight.T @ weight / SCALE**2
    mode = ((x - bias) @ weight / SCALE**2 - offset @ jacobian) @ torch.linalg.inv(precision)
    found = gaussians(laplace_approximation(model, x))
    assert (jacobian - torch.eye(LATENTS)).abs().max() > 0.5
    torch.testing.assert_close(found.mean, mode)
    torch.testing.assert_close(found.precision_matrix, precision.expand(len(x), -1, -1))


@pytest.mark.parametrize("likelihood", [{"kind": "bernoulli"}, {"kind": "gaussian", "sigma": 0.3}])
@pytest.mark.parametrize("prior", [{"kind": "standard-normal"}, {"kind": "flow", "couplings": 2, "hidden": [5]}])
def test_the_mode_is_no_less_probable_than_where_it_began(
    likelihood: dict[str, object], prior: dict[str, object]
) -> None:
    config = {
        "kind": "vae",
        "architecture": {"encoder": [16], "latents": 4, "decoder": [12]},
        "likelihood": likelihood,
        "prior": prior,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build(ModelConfig.model_validate(config))
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    assert isinstance(model, VAE)
    x = binary_images()

    def log_joint(z: Tensor) -> Tensor:
        return model.likelihood.log_prob(x, model.decoder(z)) + model.prior.log_prob(z)

    found = laplace_approximation(model, x)
    began, ended = log_joint(model.posterior(x)[0]), log_joint(found.mean)
    assert (ended >= began).all()
    assert (ended > began + 0.1).any()
    assert found.factor.isfinite().all()
