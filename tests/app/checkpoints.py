"""A small checkpoint of every kind, untrained but for the linear one, which needs no training."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.checkpoint import LatentMap, save_checkpoint, update_checkpoint
from models.config import ModelConfig
from models.data import load_mnist
from models.kinds import build
from models.linear import LinearVAE
from models.novelty import fit_novelty

MLP = {"encoder": [16], "decoder": [12]}
BERNOULLI = {"kind": "bernoulli"}
CONFIGS: dict[str, dict[str, Any]] = {
    "tiny-linear": {"kind": "linear", "architecture": {"latents": 20}, "likelihood": {"kind": "linear-gaussian"}},
    "tiny-ae": {"kind": "ae", "architecture": MLP | {"latents": 2}, "likelihood": BERNOULLI},
    "tiny-dae": {
        "kind": "dae",
        "architecture": MLP | {"latents": 6, "corruption": {"gaussian": 0.5}},
        "likelihood": BERNOULLI,
    },
    "tiny-2d": {"kind": "vae", "architecture": MLP | {"latents": 2}, "likelihood": BERNOULLI},
    "tiny-2d-flow": {
        "kind": "vae",
        "architecture": MLP | {"latents": 2},
        "likelihood": BERNOULLI,
        "prior": {"kind": "flow", "couplings": 2, "hidden": [8]},
    },
    "tiny-conv": {
        "kind": "vae",
        "architecture": {
            "encoder": {"channels": [4, 8], "blocks": [1, 1]},
            "decoder": {"channels": [8, 4], "blocks": [1, 1]},
            "latents": 6,
        },
        "likelihood": BERNOULLI,
    },
    "tiny-flow": {
        "kind": "vae",
        "architecture": MLP | {"latents": 5},
        "likelihood": BERNOULLI,
        "prior": {"kind": "flow", "couplings": 4, "hidden": [8]},
    },
}
MAPPED = ("tiny-ae", "tiny-2d")
UNRANKED = ("tiny-conv",)  # as a checkpoint whose training held no digits out


def save_all(folder: Path, mnist: Path) -> dict[str, Path]:
    """Save every one; the folders by name."""
    training = torch.from_numpy(load_mnist(mnist, "train").images.reshape(-1, 784)).float() / 255
    fitted, held_out = training[:1500], training[1500:]
    test = load_mnist(mnist, "test")
    folders = {}
    for name, document in CONFIGS.items():
        config = ModelConfig.model_validate(document)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = build(config).requires_grad_(False).eval()
            if config.prior.kind == "flow":  # untrained it is the identity
                for parameter in model.get_submodule("prior").parameters():
                    parameter.copy_(0.3 * torch.randn_like(parameter))
        if isinstance(model, LinearVAE):
            model.fit(fitted)
        folders[name] = folder / name
        novelty = None if name in UNRANKED else fit_novelty(model, held_out)
        saved = save_checkpoint(folders[name], name, config, model.state_dict(), {}, {}, novelty)
        if name in MAPPED:
            x = torch.from_numpy(test.images.reshape(-1, 784)).float() / 255
            mean = model.encode(x).mean.numpy().astype(np.float16)
            drawn = LatentMap(mean, test.labels.astype(np.uint8))
            update_checkpoint(folders[name], saved.weights.sha256, latent_map=drawn)
    return folders
