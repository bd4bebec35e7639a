"""How near to a digit what the model makes of it is, also where the model has seen it under noise."""

import torch
from scipy.ndimage import median_filter
from torch import Tensor

from models.autoencoder import Autoencoder
from models.evaluation.batches import Progress, in_batches, unseen

SIGMA = 0.5  # of the noise, for pixels in [0, 1]
WINDOW = 3  # pixels, the side of the median filter's
LEAST_ERROR = 1e-10  # of an image, in the PSNR, which would be infinite without any


def add_noise(x: Tensor, seed: int) -> Tensor:
    """Images (N, D) under Gaussian noise of sigma 0.5, clipped to [0, 1]."""
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed)).to(x.device)
    return (x + SIGMA * noise).clamp(0, 1)


def filter_median(x: Tensor, rows: int) -> Tensor:
    """Images (N, D) of so many rows, every pixel the median of the nine around it."""
    images = x.reshape(len(x), rows, -1).cpu().numpy()
    return torch.from_numpy(median_filter(images, (1, WINDOW, WINDOW))).reshape(x.shape).to(x.device)


def reconstruction_figures(
    model: Autoencoder, x: Tensor, rows: int, seed: int, progress: Progress = unseen
) -> dict[str, float]:
    """Squared errors a pixel against the clean images x (N, D) in [0, 1], and the mean of the images' PSNR in dB.

    An image's PSNR is at most 100 dB: a squared error below 1e-10 counts as that much.
    """
    noisy = add_noise(x, seed)
    error = _squared_error(in_batches(model.reconstruct, x, "reconstructions", progress), x)
    denoised = in_batches(model.reconstruct, noisy, "denoised digits", progress)
    return {
        "reconstruction_mse": error.mean().item(),
        "reconstruction_psnr_db": (-10 * error.clamp_min(LEAST_ERROR).log10()).mean().item(),
        "noisy_mse": _squared_error(noisy, x).mean().item(),
        "denoised_mse": _squared_error(denoised, x).mean().item(),
        "median_filter_mse": _squared_error(filter_median(noisy, rows), x).mean().item(),
    }


def _squared_error(found: Tensor, x: Tensor) -> Tensor:
    return (found.double() - x).square().mean(-1)
