"""The one place in the service that knows torch: arrays in, arrays out."""

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch

from models.checkpoint import Checkpoint, load_checkpoint
from models.errors import CheckpointError, InputError, NotGenerativeError, ReparamError, ShapeError

Array = npt.NDArray[np.float32]

SEED_LIMIT = 2**63
DRAWN_SEED_LIMIT = 2**32  # seeds that are drawn here are short to copy, and exact in JavaScript


class ModelNotFoundError(ReparamError):
    """A call names a model that is not served."""


class Encoded(NamedTuple):
    """q(z|x) = N(mean, diag(variance)); a deterministic autoencoder has no variance."""

    mean: Array  # (N, Z)
    variance: Array | None  # (N, Z)


class Sampled(NamedTuple):
    """Images drawn from the model, with what makes them again."""

    images: Array  # (N, H, W)
    latents: Array  # (N, Z)
    seed: int


class Model:
    """A checkpoint that answers.

    Every answer is finite, or an error: `InputError` where the input drove the network out of float32's range.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.name = checkpoint.name
        self.latents = checkpoint.model.latents
        self.generative = checkpoint.model.generative
        _, *shape = checkpoint.config.model.input_shape
        self.image_shape = (shape[0], shape[1])  # rows, columns
        self.box = checkpoint.config.preprocessing.box  # the side of the square that a digit's ink is scaled to fit
        # The first call of a shape costs tens of milliseconds: here, and not a caller's.
        self.encode(np.zeros((1, *self.image_shape), np.float32))
        self.decode(np.zeros((1, self.latents), np.float32))

    @torch.inference_mode()
    def encode(self, images: Array) -> Encoded:
        """Images (N, H, W) in [0, 1] -> the posterior. Raises: ShapeError; InputError."""
        if images.shape[1:] != self.image_shape:
            raise ShapeError(
                f"images: expected shape (N, {self.image_shape[0]}, {self.image_shape[1]}), found {images.shape}"
            )
        mean, variance = self.checkpoint.model.encode(torch.from_numpy(images.reshape(len(images), -1)))
        return Encoded(
            _finite("mean", mean.numpy()), None if variance is None else _finite("variance", variance.numpy())
        )

    @torch.inference_mode()
    def decode(self, latents: Array) -> Array:
        """Latents (N, Z) -> images (N, H, W) in [0, 1]. Raises: ShapeError; InputError."""
        if latents.ndim != 2 or latents.shape[1] != self.latents:
            raise ShapeError(f"latents: expected shape (N, {self.latents}) for {self.name}, found {latents.shape}")
        images = self.checkpoint.model.decode(torch.from_numpy(latents))
        return _finite("images", images.numpy()).reshape(-1, *self.image_shape)

    def reconstruct(self, images: Array) -> Array:
        """Images (N, H, W) in [0, 1] -> the images that their means decode to. Raises: ShapeError; InputError."""
        return self.decode(self.encode(images).mean)

    def sample(self, count: int, seed: int | None = None, temperature: float = 1.0) -> Sampled:
        """Decode `count` draws of temperature * N(0, I).

        The noise depends on the seed and on nothing else, so that image i of a seed is the same whatever the count,
        the machine or the neighbours. Without a seed one is drawn, and told.
        Raises: NotGenerativeError: if nothing controls how the model's codes are distributed. InputError.
        """
        if not self.generative:
            raise NotGenerativeError(
                f"{self.name} is a deterministic autoencoder: nothing controls how its codes are distributed, so noise "
                "decodes to nothing in particular; sample from a variational model"
            )
        seed = secrets.randbelow(DRAWN_SEED_LIMIT) if seed is None else seed
        generator = np.random.Generator(np.random.Philox(seed))
        epsilon = generator.standard_normal((count, self.latents), dtype=np.float32)
        latents = epsilon * np.float32(temperature)
        return Sampled(self.decode(latents), latents, seed)

    def card(self) -> dict[str, Any]:
        """What a caller may want to know of the model, as JSON."""
        config = self.checkpoint.config
        return {
            "name": self.name,
            "kind": config.model.kind,
            "latents": self.latents,
            "input_shape": config.model.input_shape,
            "capabilities": ["encode", "decode", "reconstruct", *(["sample"] if self.generative else [])],
            "likelihood": config.model.likelihood.model_dump(),
            "prior": config.model.prior.model_dump(),
            "architecture": config.model.architecture,
            "parameters": sum(p.numel() for p in self.checkpoint.model.parameters()),
            "sha256": config.weights.sha256,
            "metrics": config.metrics,
            "training": config.training,
        }


class Engine:
    """The models that are served, by name."""

    def __init__(self, models: Sequence[Model], default: str | None = None) -> None:
        self.models = {model.name: model for model in models}
        self.default = default or models[0].name
        if self.default not in self.models:
            raise CheckpointError(f"default_model: expected one of {', '.join(self.models)}, found {self.default!r}")

    @classmethod
    def load(cls, folders: Sequence[Path], default: str | None = None, threads: int = 1) -> Self:
        """Load, check and warm every checkpoint. Raises: CheckpointError: if one is bad, or two have one name."""
        torch.set_num_threads(threads)
        models: dict[str, Model] = {}
        for folder in folders:
            model = Model(load_checkpoint(folder))
            if model.name in models:
                other = models[model.name].checkpoint.path
                raise CheckpointError(
                    f"{folder}: expected a name of its own, found {model.name!r}, which {other} has too"
                )
            models[model.name] = model
        return cls(list(models.values()), default)

    def model(self, name: str | None = None) -> Model:
        """The model of that name, or the default one. Raises: ModelNotFoundError."""
        found = self.models.get(self.default if name is None else name)
        if found is None:
            raise ModelNotFoundError(f"model: expected one of {', '.join(self.models)}, found {name!r:.80}")
        return found


def _finite(name: str, values: Array) -> Array:
    if not np.isfinite(values).all():
        raise InputError(f"{name}: the input drives the network out of float32's range; use smaller numbers")
    return np.ascontiguousarray(values)  # a slice of the network's last layer is not, and JSON and files want it
