"""Ten thousand images in one request, beside a bare torch forward of the same array on the same threads."""

import io
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import load as load_arrays
from torch import nn

from benchmarks.answers import Posterior, check
from benchmarks.bare import load_encoder
from benchmarks.calls import NPY, PNG, SAFETENSORS, Call
from benchmarks.results import Result
from benchmarks.servers import ROOT, peak_bytes, reparam, reset_peak, resident_bytes
from models.data import load_mnist

COUNT = 10_000
THREADS = 1
LIMITS = {"REPARAM_MAX_BODY_BYTES": str(64 * 2**20), "REPARAM_MAX_IMAGES": str(COUNT), "REPARAM_THREADS": str(THREADS)}
SPEED_TARGET, MEMORY_TARGET = 0.8, 5.0
FIRST = 3  # requests over which the peak of the memory is taken


def bulk(folder: Path, digit: bytes, rounds: int, seconds: float, environment: dict[str, str]) -> list[Result]:
    """Speed and memory, for bytes and for floats; a fresh server each, since a warm one has its memory already."""
    torch.set_num_threads(THREADS)
    encoder = load_encoder(folder)
    digits = load_mnist(ROOT / "tests" / "data" / "mnist", "test").images
    images = np.tile(digits, (-(-COUNT // len(digits)), 1, 1))[:COUNT]
    results = []
    for array in (images, images.astype(np.float32) / np.float32(255)):
        call = Call("/v1/encode", _npy(array), NPY, SAFETENSORS)
        what = f"{COUNT:,} images in one request, {array.dtype.name}, {folder.name}"
        with reparam(folder, workers=1, **LIMITS | environment) as server:
            (worker,) = server.workers
            Call("/v1/encode", digit, PNG).send(server.url)
            before = resident_bytes([worker])
            reset_peak(worker)
            for _ in range(FIRST):
                answer = load_arrays(call.send(server.url))
            growth = peak_bytes(worker) - before
            check(what, Posterior(answer["mean"], answer.get("variance")), _forward(encoder, array))
            ours, other = [], []
            for _ in range(rounds):
                ours.append(_images_per_s(lambda: call.send(server.url), seconds))  # noqa: B023
                other.append(_images_per_s(lambda: _forward(encoder, array), seconds))  # noqa: B023
        results += [
            Result(f"{what}, against a bare forward", ours, other, "images/s", SPEED_TARGET),
            Result(
                f"growth of the worker's memory meanwhile, against the array ({what})",
                [growth / 2**20],
                [array.nbytes / 2**20],
                "MiB",
                MEMORY_TARGET,
                at_most=True,
            ),
        ]
    return results


def _npy(array: npt.NDArray[np.generic]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@torch.inference_mode()
def _forward(encoder: nn.Module, array: npt.NDArray[np.generic]) -> Posterior:
    x = torch.from_numpy(array).flatten(1)
    mean, log_sigma = encoder(x if x.dtype == torch.float32 else x.float() / 255).chunk(2, dim=1)
    return Posterior(mean.numpy(), (2 * log_sigma).exp().numpy())


def _images_per_s(work: Callable[[], object], seconds: float) -> float:
    """The median of as many repetitions as fit, at least one."""
    times: list[float] = []
    until = time.perf_counter() + seconds
    while not times or time.perf_counter() < until:
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return COUNT / median(times)
