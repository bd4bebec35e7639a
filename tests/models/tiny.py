"""A small VAE, untrained, and a checkpoint of it."""

from pathlib import Path

import torch
from torch import Tensor

from models.checkpoint import save_checkpoint
from models.config import ModelConfig
from models.likelihoods import Bernoulli, Likelihood
from models.vae import VAE

CONFIG = ModelConfig.model_validate(
    {
        "kind": "vae",
        "architecture": {"encoder": [16], "latents": 4, "decoder": [12]},
        "likelihood": {"kind": "bernoulli"},
    }
)


def tiny(likelihood: Likelihood | None = None, seed: int = 0) -> VAE:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return VAE((1, 28, 28), (16,), (12,), 4, likelihood or Bernoulli())


def binary_images(count: int = 3) -> Tensor:
    """(N, 784) of zeros and ones."""
    return torch.rand(count, 784, generator=torch.Generator().manual_seed(0)).round()


def save_tiny(folder: Path, seed: int = 0, **metrics: float) -> VAE:
    """Save the model of a seed, and return it."""
    model = tiny(seed=seed)
    save_checkpoint(folder, "tiny", CONFIG, model.state_dict(), {"seed": seed}, metrics)
    return model
