"""Draws the pictures of docs/why-variational.md, from shipped checkpoints and MNIST's test digits.

python -m scripts.draw_why_variational --data data/mnist
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import torch

from app.engine import Array
from app.images import contact_sheet
from models.autoencoder import Autoencoder
from models.checkpoint import load_checkpoint
from models.data import load_mnist
from models.data.pixels import as_vectors
from models.distributions import reparameterize
from models.files import checkpoint_folder

PICTURES = Path(__file__).resolve().parent.parent / "docs" / "pictures"
SHOWN = 40
SEED = 0
AE, VAE = "mnist-ae", "mnist-mlp"  # the same network, trained as the one and as the other


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data/mnist"), help="the folder with MNIST's four files")
    digits = as_vectors(load_mnist(parser.parse_args().data, "test"))
    PICTURES.mkdir(exist_ok=True)
    codes = {}
    with torch.inference_mode():
        for name in (AE, VAE):
            model = load_checkpoint(checkpoint_folder(name)).model
            noise = torch.randn(SHOWN, model.latents, generator=torch.Generator().manual_seed(SEED))
            _save(f"samples-{name}.png", model.decode(noise))
            _save(
                f"reconstructions-{name}.png",
                torch.cat((digits[: SHOWN // 2], model.reconstruct(digits[: SHOWN // 2]))),
            )
            codes[name] = _codes(model, digits)
    _draw_codes(codes)


def _codes(model: Autoencoder, x: torch.Tensor) -> npt.NDArray[np.float32]:
    """Codes of x (N, D), drawn from the posterior where there is one: (N, Z)."""
    mean, variance = model.encode(x)
    if variance is not None:
        epsilon = torch.randn(mean.shape, generator=torch.Generator().manual_seed(SEED))
        mean = reparameterize(mean, variance.log() / 2, epsilon)
    codes: npt.NDArray[np.float32] = mean.numpy()
    return codes


def _save(name: str, images: torch.Tensor) -> None:
    sheet: Array = images.reshape(-1, 28, 28).numpy()
    (PICTURES / name).write_bytes(contact_sheet(sheet, columns=SHOWN // 2, scale=2))


def _draw_codes(codes: dict[str, npt.NDArray[np.float32]]) -> None:
    """The codes beside N(0, I): two latents of each, and how far from the origin codes lie."""
    figure, (*planes, lengths) = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
    prior = np.random.default_rng(SEED).standard_normal(codes[AE].shape)
    for axes, name in zip(planes, (AE, VAE), strict=True):
        # The two directions in which the codes vary most: what N(0, I) has in every direction alike.
        centred = codes[name] - codes[name].mean(0)
        _, _, directions = np.linalg.svd(centred, full_matrices=False)
        axes.scatter(*(codes[name] @ directions[:2].T).T, s=1, alpha=0.4, label=f"codes of {name}")
        axes.scatter(*prior[:, :2].T, s=1, alpha=0.4, label="N(0, I)")
        axes.set(title=f"{name}: the two widest directions", aspect="equal")
        axes.legend(markerscale=6, loc="upper right")
    for name in (AE, VAE):
        lengths.hist(np.linalg.norm(codes[name], axis=1), bins=100, density=True, alpha=0.6, label=f"codes of {name}")
    lengths.hist(np.linalg.norm(prior, axis=1), bins=100, density=True, histtype="step", color="black", label="N(0, I)")
    lengths.set(title="distance of a code from the origin")
    lengths.legend()
    figure.savefig(PICTURES / "codes.png", dpi=110)


if __name__ == "__main__":
    main()
