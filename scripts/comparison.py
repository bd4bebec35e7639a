"""Prints docs/comparison.md, the shipped models side by side: python -m scripts.comparison > docs/comparison.md"""

import math
import struct
from collections.abc import Callable
from typing import Any

import orjson

from models.checkpoint import read_config
from models.config import CheckpointConfig
from models.files import ZOO, shipped_names

TEXT = """\
# The shipped models side by side

Measured by `reparam evaluate` on MNIST's 10,000 test digits, as each model's card says; a dash is what does not apply
to a kind, or was not measured. Made by `python -m scripts.comparison > docs/comparison.md`.

{table}

- **NLL, -ELBO, KL**: nats an image, lower is better. Those of a Bernoulli likelihood are of binarized digits; `linear`
  has a density on grey pixels, whose nats compare with none of the others. The KL under a flow is by Monte Carlo.
- **NLL by q**: by the half of the importance samples that the encoder's posterior gave, where the other half came from
  a Laplace approximation of the true one; both are upper bounds, and the one of all the samples is the tighter.
  The posterior of `linear` is the true one, and its NLL is exact.
- **MSE, PSNR**: of the reconstruction of grey digits, pixels in 0 to 1; PSNR in dB.
- **FID**: of 10,000 samples, in the features of [a digit classifier](decisions/0011-a-classifier-of-our-own.md), not
  Inception's; real training digits reach {floor}.
- **linear probe, kNN**: digits told right by logistic regression on the latents, and by the 5 nearest latents.
- **denoising**: the squared error of the reconstruction of a digit under noise (sigma 0.5, clipped to 0 to 1), as a
  share of the noisy digit's own, {noisy}; a 3x3 median filter leaves {median}.
- **AUROC**: how well surprise tells test digits from themselves with shuffled pixels, from themselves inverted, and
  from other images{unlike}; `mnist-linear`, which knows no more of digits than their mean and covariance, is the one
  below 0.99 there.
"""

Column = Callable[[CheckpointConfig], str]


def comparison() -> str:
    """The whole page, from the `config.json` of every checkpoint in the zoo."""
    configs = [read_config(ZOO / name) for name in shipped_names()]
    configs.sort(key=lambda config: config.metrics.get("fid", math.inf), reverse=True)
    rows = [list(COLUMNS), ["---"] + ["---:"] * (len(COLUMNS) - 1)]
    rows += [[column(config) for column in COLUMNS.values()] for config in configs]
    known: dict[str, Any] = {}
    for config in configs:
        known |= config.metrics
    share = known["median_filter_mse"] / known["noisy_mse"] if "noisy_mse" in known else None
    return TEXT.format(
        table="\n".join(f"| {' | '.join(row)} |" for row in rows),
        floor=_format(known.get("fid_floor"), ".2f"),
        noisy=_format(known.get("noisy_mse"), ".3f"),
        median=_format(share, ".2f"),
        unlike=f" (`{known['unlike']}`)" if "unlike" in known else "",
    )


def _figure(key: str, spec: str) -> Column:
    return lambda config: _format(config.metrics.get(key), spec)


def _format(value: Any, spec: str) -> str:
    return "-" if value is None else format(value, spec)


def _parameters(config: CheckpointConfig) -> str:
    """How many numbers the weights are, by the header of their file.

    Source: https://huggingface.co/docs/safetensors, "Format".
    """
    with (ZOO / config.name / config.weights.file).open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = orjson.loads(file.read(size))
    return f"{sum(math.prod(tensor['shape']) for key, tensor in header.items() if key != '__metadata__'):,}"


def _denoising(config: CheckpointConfig) -> str:
    metrics = config.metrics
    return _format(metrics["denoised_mse"] / metrics["noisy_mse"] if "noisy_mse" in metrics else None, ".2f")


COLUMNS: dict[str, Column] = {
    "model": lambda config: f"[{config.name}](../models/zoo/{config.name}/README.md)",
    "kind": lambda config: config.model.kind + (", flow prior" if config.model.prior.kind == "flow" else ""),
    "latents": lambda config: str(config.model.architecture["latents"]),
    "parameters": _parameters,
    "NLL": _figure("test_nll_nats", ".2f"),
    "NLL by q": _figure("test_nll_by_posterior_nats", ".2f"),
    "-ELBO": _figure("test_negative_elbo_nats", ".2f"),
    "KL": _figure("test_kl_nats", ".2f"),
    "active units": _figure("active_units", "d"),
    "MSE": _figure("reconstruction_mse", ".4f"),
    "PSNR": _figure("reconstruction_psnr_db", ".2f"),
    "FID": _figure("fid", ".2f"),
    "linear probe": _figure("linear_probe_accuracy", ".1%"),
    "kNN": _figure("knn_accuracy", ".1%"),
    "denoising": _denoising,
    "AUROC shuffled": _figure("novelty_auroc_shuffled", ".4f"),
    "AUROC inverted": _figure("novelty_auroc_inverted", ".4f"),
    "AUROC other": _figure("novelty_auroc_unlike", ".4f"),
}


if __name__ == "__main__":
    print(comparison(), end="")  # noqa: T201
