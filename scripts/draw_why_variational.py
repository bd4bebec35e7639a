"""Draws the pictures of docs/why-variational.md, from shipped checkpoints and MNIST's test digits; prints its figures.

python -m scripts.draw_why_variational --data data/mnist
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from app.engine import Array
from app.images import contact_sheet
from models.autoencoder import Autoencoder
from models.checkpoint import load_checkpoint
from models.data import load_mnist
from models.data.pixels import as_vectors
from models.distributions import reparameterize
from models.evaluation.classifier import load_classifier
from models.evaluation.reconstruction import add_noise
from models.evaluation.samples import SAMPLES, frechet_distance, look, moments
from models.files import checkpoint_folder
from models.linear import LinearVAE

PICTURES = Path(__file__).resolve().parent.parent / "docs" / "pictures"
COLUMNS = 20  # of every sheet
SEED = 0
LINEAR, AE, DAE, VAE = "mnist-linear", "mnist-ae", "mnist-dae", "mnist-mlp"  # AE and VAE have one network


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data/mnist"), help="the folder with MNIST's four files")
    digits = as_vectors(load_mnist(parser.parse_args().data, "test"))
    PICTURES.mkdir(exist_ok=True)
    models = {name: load_checkpoint(checkpoint_folder(name)).model for name in (LINEAR, AE, DAE, VAE)}
    shown = digits[:COLUMNS]
    _draw_linear(models[LINEAR], shown)
    for name in (AE, VAE):
        _save(f"reconstructions-{name}.png", shown, models[name].reconstruct(shown))
        _save(f"between-{name}.png", _between(models[name], digits[0], digits[1]), _between(models[name], *digits[2:4]))
    for name in (LINEAR, AE, VAE):
        _save(f"samples-{name}.png", models[name].decode(_noise(models[name], 2 * COLUMNS)))
    noisy = add_noise(shown, SEED)
    _save("denoising.png", noisy, models[DAE].reconstruct(noisy), models[AE].reconstruct(noisy))
    _save("posterior-mnist-mlp.png", *(_draws(models[VAE], digit) for digit in digits[[0, 1, 3]]))
    codes = {name: _codes(models[name], digits) for name in (AE, VAE)}
    _draw_codes(codes)
    classifier = load_classifier()
    real = moments(look(classifier, digits).features)
    for name in (AE, VAE):
        drawn = moments(look(classifier, models[name].decode(_noise(models[name], SAMPLES))).features)
        fid, length = frechet_distance(drawn, real), np.median(np.linalg.norm(codes[name], axis=1))
        print(f"{name}: FID of N(0, I) decoded {fid:.2f}, median length of a code {length:.1f}")  # noqa: T201


def _noise(model: Autoencoder, count: int) -> Tensor:
    return torch.randn(count, model.latents, generator=torch.Generator().manual_seed(SEED))


def _draw_linear(model: Autoencoder, x: Tensor) -> None:
    """The principal components, the same turned at random, and what either makes of digits x (N, D)."""
    assert isinstance(model, LinearVAE)  # noqa: S101  for the type checker
    weight, offset = model.decoder.weight, model.decoder.bias  # (D, Z), (D,)
    random = torch.randn(model.latents, model.latents, generator=torch.Generator().manual_seed(SEED))
    turned = weight @ torch.linalg.qr(random).Q
    _save("components.png", *((w[:, :COLUMNS] / w.abs().amax(0)[:COLUMNS] / 2 + 0.5).T for w in (weight, turned)))
    images = [((x - offset) @ torch.linalg.pinv(w).T @ w.T + offset).clamp(0, 1) for w in (weight, turned)]
    _save("reconstructions-mnist-linear.png", x, *images)
    print(f"{LINEAR}: largest difference of a pixel from its own, turned: {(images[0] - images[1]).abs().max():.0e}")  # noqa: T201


def _between(model: Autoencoder, a: Tensor, b: Tensor) -> Tensor:
    """Images (COLUMNS, D) on the straight line between the codes of two."""
    start, end = model.encode(torch.stack((a, b))).mean
    return model.decode(torch.lerp(start, end, torch.linspace(0, 1, COLUMNS)[:, None]))


def _draws(model: Autoencoder, digit: Tensor) -> Tensor:
    """A digit (D,), its mean decoded, and as many draws from its posterior as there is place for."""
    mean, variance = model.encode(digit[None])
    assert variance is not None  # noqa: S101  for the type checker
    epsilon = _noise(model, COLUMNS - 2)
    codes = torch.cat((mean, reparameterize(mean, variance.log() / 2, epsilon)))
    return torch.cat((digit[None], model.decode(codes)))


def _codes(model: Autoencoder, x: Tensor) -> npt.NDArray[np.float32]:
    """Codes of x (N, D), drawn from the posterior where there is one: (N, Z)."""
    mean, variance = model.encode(x)
    if variance is not None:
        mean = reparameterize(mean, variance.log() / 2, _noise(model, len(x)))
    codes: npt.NDArray[np.float32] = mean.numpy()
    return codes


def _save(name: str, *rows: Tensor) -> None:
    sheet: Array = torch.cat(rows).reshape(-1, 28, 28).numpy()
    (PICTURES / name).write_bytes(contact_sheet(sheet, columns=COLUMNS, scale=2))


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
    plt.close(figure)


if __name__ == "__main__":
    main()
