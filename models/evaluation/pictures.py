"""Pictures of what a model does to digits, drawn by matplotlib into PNG files, without a display."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import orjson
import torch
from matplotlib.figure import Figure
from torch import Tensor

from models.autoencoder import Autoencoder
from models.data import Digits
from models.evaluation.codes import codes
from models.evaluation.evaluate import pixels
from models.evaluation.reconstruction import add_noise
from models.evaluation.samples import draw
from models.vae import VAE

SIDE, SHOWN, STEPS = 10, 10, 10  # of the sheet of samples; digits of each sort; images of an interpolation
MAP = 5000  # points


def draw_pictures(
    model: Autoencoder, digits: Digits, figures: dict[str, Any], run: Path, seed: int
) -> dict[str, Figure]:
    """Every picture that applies to the model, by its file's name.

    Args:
        figures: of `evaluate`, for the KL of each latent.
        run: the folder that `reparam train` wrote; without its `metrics.jsonl` there are no training curves.
    """
    x = pixels(digits, model)
    pictures = {
        "reconstructions.png": _reconstructions(model, x[:SHOWN], seed),
        "interpolations.png": _interpolations(model, x[: 2 * min(SHOWN, len(x) // 2)]),
        "latents.png": _latents(codes(model, x[:MAP]), digits.labels[:MAP]),
    }
    if isinstance(model, VAE):
        pictures["samples.png"] = _sheet(draw(model, SIDE * SIDE, seed), SIDE, "decoded means of samples of the prior")
    if "test_kl_by_latent_nats" in figures:
        pictures["kl.png"] = _spectrum(figures["test_kl_by_latent_nats"])
    if (run / "metrics.jsonl").is_file():
        pictures["training.png"] = _curves((run / "metrics.jsonl").read_bytes())
    return pictures


@torch.inference_mode()
def _reconstructions(model: Autoencoder, x: Tensor, seed: int) -> Figure:
    noisy = add_noise(x, seed)
    rows = torch.cat([x, model.reconstruct(x), noisy, model.reconstruct(noisy)])
    return _sheet(rows, len(x), "test digits; what the model makes of them; under noise; and of those")


@torch.inference_mode()
def _interpolations(model: Autoencoder, x: Tensor) -> Figure:
    begin, end = model.encode(x).mean.chunk(2)
    weight = torch.linspace(0, 1, STEPS, device=x.device)[:, None]
    images = torch.cat([model.decode(torch.lerp(a, b, weight)) for a, b in zip(begin, end, strict=True)])
    return _sheet(images, STEPS, "along the line between the codes of two test digits")


def _sheet(images: Tensor, columns: int, title: str) -> Figure:
    """Images (N, 784), row by row."""
    rows = len(images) // columns
    sheet = images.reshape(rows, columns, 28, 28).permute(0, 2, 1, 3).reshape(rows * 28, columns * 28)
    figure = Figure(figsize=(columns * 0.6, rows * 0.6 + 0.4))
    axes = figure.add_axes((0, 0, 1, rows * 0.6 / (rows * 0.6 + 0.4)))
    axes.imshow(sheet.cpu().numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
    figure.suptitle(title, fontsize=9)
    return figure


def _latents(mean: Tensor, labels: np.ndarray) -> Figure:
    """Codes (N, Z) in a plane: as they are if there are two numbers, else along the two directions that vary most."""
    if mean.shape[1] <= 2:
        points, title = mean, "codes of test digits"
    else:
        centred = mean - mean.mean(0)
        _, _, directions = torch.linalg.svd(centred, full_matrices=False)
        points = centred @ directions[:2].T
        title = f"codes of test digits: the first two principal components of {mean.shape[1]} numbers"
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots()
    where = points.cpu().numpy()
    for digit in range(10):
        chosen = where[labels == digit]
        axes.scatter(chosen[:, 0], chosen[:, -1], s=3, color=matplotlib.colormaps["tab10"](digit), label=str(digit))
    axes.set(title=title, xlabel="first", ylabel="second", aspect="equal")
    axes.legend(markerscale=3, loc="upper right")
    return figure


def _spectrum(kl: list[float]) -> Figure:
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.bar(range(1, len(kl) + 1), sorted(kl, reverse=True))
    axes.set(title="KL of each latent, largest first", xlabel="latent", ylabel="nats")
    return figure


def _curves(lines: bytes) -> Figure:
    """Of `metrics.jsonl`, a line an epoch."""
    reports = [report for line in lines.splitlines() if (report := _report(line))]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for key, label in (("negative_elbo", "training digits"), ("validation_negative_elbo", "held-out digits")):
        points = [(report["epoch"], report[key]) for report in reports if report.get(key) is not None]
        if points:
            axes.plot(*zip(*points, strict=True), label=label, marker="." if len(points) == 1 else "")
    axes.set(title="the bound on log p(x), negated", xlabel="epoch", ylabel="nats")
    axes.legend()
    return figure


def _report(line: bytes) -> dict[str, Any] | None:
    """A line of `metrics.jsonl`; None if a run that was killed left it half-written, or another program wrote it."""
    try:
        report = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return report if isinstance(report, dict) and "epoch" in report else None
