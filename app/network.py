"""The one place in the service that knows torch: arrays in, arrays out, on the device where the weights lie."""

import time
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from app.compiled import Compiled, has_bfloat16
from models import novelty
from models.autoencoder import Autoencoder
from models.device import DeviceError
from models.networks import ResidualDecoder, ResidualEncoder, lay_out

Array = npt.NDArray[np.float32]
Runtime = Literal["torch", "openvino", "openvino-bfloat16"]

SIZES = (1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 18, 20, 24, 28, 32, 40, 48, 56, 64, 128, 256, 512)  # rows of a pass
LARGEST = 64  # in a thread; a score counts its draws
PROBED = 16  # rows: so many arrive together under load
CHEAP_S = 0.008  # what a pass may take on the event loop, if one of the rows probed does not take more


def check_runtime(runtime: Runtime, device: torch.device) -> None:
    """Raises: DeviceError: if the processor lacks what the runtime is to use."""
    if runtime == "openvino-bfloat16" and device.type == "cpu" and not has_bfloat16():
        raise DeviceError(
            "runtime (REPARAM_RUNTIME): expected a processor with bfloat16 for openvino-bfloat16, found one without"
        )


def limit_threads(threads: int) -> None:
    """How many CPU threads a pass uses."""
    torch.set_num_threads(threads)


def _compile(model: Autoencoder, *, halved: bool) -> None:
    for name, inputs in (("encoder", model.pixels), ("decoder", model.latents)):
        network = getattr(model, name, None)  # the linear kind has no encoder of its own
        if isinstance(network, ResidualEncoder | ResidualDecoder):
            setattr(model, name, Compiled(network, inputs, torch.get_num_threads(), halved=halved))


class Network:
    """An autoencoder's functions of rows, each row on its own: `encode`, `decode`, `reconstruct`, `score`, and the
    prior's `from_noise` and `to_noise`. Images are (N, H, W) in [0, 1], latents and noise (N, Z), scores (N,).

    A function is `inline` if its passes are short enough for the event loop: a thread that computes beside it waits
    for the interpreter after every layer, for longer than such a pass takes.

    Args:
        draws: from the posterior, that a score averages.
        runtime: what runs networks with convolutions on a CPU; an MLP would gain little by another than torch.
    """

    def __init__(
        self,
        model: Autoencoder,
        image_shape: tuple[int, int],
        draws: int,
        device: torch.device,
        runtime: Runtime = "torch",
    ) -> None:
        self._model = model.to(device)
        if runtime != "torch" and device.type == "cpu":
            _compile(model, halved=runtime == "openvino-bfloat16")
        lay_out(model)
        self._image_shape, self._draws, self._device = image_shape, draws, device
        row_s = self._row_s()
        cheap = device.type == "cpu"
        self.inline = {function for function in row_s if cheap and row_s[function] * PROBED <= CHEAP_S}
        self.sizes = {function: self._sizes(function, row_s[function]) for function in self.passes}

    @property
    def passes(self) -> dict[str, Callable[[Array], Sequence[Array | None]]]:
        """The functions by name; made when asked for, since to keep them would keep an exchanged network in memory."""
        return {
            "encode": self.encode,
            "decode": self.decode,
            "reconstruct": self.reconstruct,
            "score": self.score,
            "from_noise": self.from_noise,
            "to_noise": self.to_noise,
        }

    def encode(self, images: Array) -> tuple[Array, Array | None]:
        """-> mean and variance (N, Z); a deterministic autoencoder has no variance."""
        with torch.inference_mode():
            mean, variance = self._model.encode(self._tensor(images.reshape(len(images), -1)))
            return self._array(mean), None if variance is None else self._array(variance)

    def decode(self, latents: Array) -> tuple[Array]:
        """-> images."""
        with torch.inference_mode():
            return (self._images(self._model.decode(self._tensor(latents))),)

    def reconstruct(self, images: Array) -> tuple[Array]:
        """-> images."""
        with torch.inference_mode():
            return (self._images(self._model.reconstruct(self._tensor(images.reshape(len(images), -1)))),)

    def score(self, images: Array) -> tuple[Array, Array | None]:
        """-> log_likelihood and kl; a deterministic autoencoder has no kl."""
        with torch.inference_mode():
            x = self._tensor(images.reshape(len(images), -1))
            log_likelihood, kl = novelty.score(self._model, x, self._draws)
            return self._array(log_likelihood), None if kl is None else self._array(kl)

    def from_noise(self, noise: Array) -> tuple[Array]:
        """Standard normal noise -> latents, as the prior has them."""
        with torch.inference_mode():
            return (self._array(self._model.from_noise(self._tensor(noise))),)

    def to_noise(self, latents: Array) -> tuple[Array]:
        """The inverse."""
        with torch.inference_mode():
            return (self._array(self._model.to_noise(self._tensor(latents))),)

    def warm(self) -> None:
        """Run every function at every size: the first call of a shape costs tens of milliseconds, no caller's."""
        functions = ["encode", "decode", "score", *(("from_noise", "to_noise") if self._model.generative else ())]
        for function in (*functions, "reconstruct"):
            for size in self.sizes[function]:
                if function != "reconstruct" or not (size in self.sizes["encode"] and size in self.sizes["decode"]):
                    self.passes[function](self._zeros(function, size))

    def _sizes(self, function: str, row_s: float) -> tuple[int, ...]:
        if function in self.inline:
            return tuple(size for size in SIZES if size * row_s <= CHEAP_S)
        most = LARGEST // self._draws if function == "score" else LARGEST
        return tuple(size for size in SIZES if size <= max(1, most))

    def _row_s(self) -> dict[str, float]:
        """How long a row takes in a pass of some, by function, in seconds of a processor, whoever else uses it."""
        encode, decode = self._measured("encode"), self._measured("decode")
        row_s = {
            "encode": encode,
            "decode": decode,
            "reconstruct": encode + decode,
            "score": encode + self._draws * decode,
        }
        for function in ("from_noise", "to_noise"):
            row_s[function] = self._measured(function) if self._model.generative else 0.0
        return row_s

    def _measured(self, function: str) -> float:
        rows = self._zeros(function, PROBED)
        spent = []
        for _ in range(4):  # the first is of a shape that is not warm
            began = time.thread_time()
            self.passes[function](rows)
            spent.append(time.thread_time() - began)
        return min(spent[1:]) / PROBED

    def _zeros(self, function: str, count: int) -> Array:
        """So many rows that a function takes."""
        latents = function in ("decode", "from_noise", "to_noise")
        return np.zeros((count, self._model.latents) if latents else (count, *self._image_shape), np.float32)

    def _tensor(self, rows: Array) -> torch.Tensor:
        return torch.from_numpy(rows).to(self._device)

    def _array(self, tensor: torch.Tensor) -> Array:
        array: Array = tensor.cpu().numpy()
        return np.ascontiguousarray(array)  # a part of the network's last layer is not, and JSON and files want it

    def _images(self, x: torch.Tensor) -> Array:
        return self._array(x).reshape(-1, *self._image_shape)
