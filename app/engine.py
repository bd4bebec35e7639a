"""The one place in the service that knows torch: arrays in, arrays out."""

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch

from app.interpolation import Way, linear, spherical
from models import novelty
from models.checkpoint import Checkpoint, LatentMap, load_checkpoint
from models.errors import CheckpointError, InputError, NotGenerativeError, ReparamError, ShapeError

Array = npt.NDArray[np.float32]
Capability = Literal["encode", "decode", "reconstruct", "interpolate", "score", "sample", "map"]

SEED_LIMIT = 2**63
DRAWN_SEED_LIMIT = 2**32  # seeds that are drawn here are short to copy, and exact in JavaScript


class ModelNotFoundError(ReparamError):
    """A call names a model that is not served."""


class NotCapableError(ReparamError):
    """A model was asked for what it cannot do."""


class Encoded(NamedTuple):
    """q(z|x) = N(mean, diag(variance)); a deterministic autoencoder has no variance."""

    mean: Array  # (N, Z)
    variance: Array | None  # (N, Z)


class Sampled(NamedTuple):
    """Images drawn from the model, with what makes them again."""

    images: Array  # (N, H, W)
    latents: Array  # (N, Z)
    seed: int


class Interpolated(NamedTuple):
    """Images on the way from one code to another."""

    images: Array  # (steps, H, W)
    latents: Array  # (steps, Z)


class Scored(NamedTuple):
    """How probable a model finds images, (N,) each, in nats; a deterministic autoencoder has the likelihood alone."""

    elbo: Array | None  # log_likelihood - kl
    log_likelihood: Array
    kl: Array | None
    percentile: Array | None  # of the surprise, 0..100 among held-out digits; None: the checkpoint has none to compare


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
        self.capabilities: list[Capability] = ["encode", "decode", "reconstruct", "interpolate", "score"]
        self.capabilities += ["sample"] if self.generative else []
        self.capabilities += ["map"] if checkpoint.map and self.latents == 2 else []
        # The first call of a shape costs tens of milliseconds: here, and not a caller's.
        self.encode(np.zeros((1, *self.image_shape), np.float32))
        self.decode(np.zeros((1, self.latents), np.float32))

    @torch.inference_mode()
    def encode(self, images: Array) -> Encoded:
        """Images (N, H, W) in [0, 1] -> the posterior. Raises: ShapeError; InputError."""
        mean, variance = self.checkpoint.model.encode(self._vectors(images))
        return Encoded(
            _finite("mean", mean.numpy()), None if variance is None else _finite("variance", variance.numpy())
        )

    @torch.inference_mode()
    def decode(self, latents: Array) -> Array:
        """Latents (N, Z) -> images (N, H, W) in [0, 1]. Raises: ShapeError; InputError."""
        if latents.ndim != 2 or latents.shape[1] != self.latents:
            raise ShapeError(f"latents: expected shape (N, {self.latents}) for {self.name}, found {latents.shape}")
        return self._images(self.checkpoint.model.decode(torch.from_numpy(latents)))

    @torch.inference_mode()
    def reconstruct(self, images: Array) -> Array:
        """Images (N, H, W) in [0, 1] -> what the model makes of them. Raises: ShapeError; InputError."""
        return self._images(self.checkpoint.model.reconstruct(self._vectors(images)))

    @torch.inference_mode()
    def interpolate(self, ends: Array, steps: int, path: Way = "linear") -> Interpolated:
        """Decode codes on the way between two, which are exactly its ends.

        The linear path is straight in the latents; the spherical one is a great circle in the noise that the prior
        turns into codes.

        Args:
            ends: images (2, H, W), which stand for their means, or latents (2, Z).
            steps: how many images, the ends' included; at least 2.
        Raises: NotGenerativeError: if there is no prior, which a great circle needs. ShapeError; InputError.
        """
        if path == "spherical" and not self.generative:
            raise NotGenerativeError(
                f"{self.name} is a deterministic autoencoder: its codes come from no noise in which a great circle "
                f"could lie, and its interpolation is linear; {self._can()}"
            )
        codes = ends if ends.ndim == 2 else self.encode(ends).mean
        if path == "linear":
            latents = linear(codes[0], codes[1], steps)
        else:
            noise = _finite("noise", self.checkpoint.model.to_noise(torch.from_numpy(codes)).numpy())
            latents = self._codes(spherical(noise[0], noise[1], steps))
            latents[0], latents[-1] = codes  # a flow and its inverse round
        return Interpolated(self.decode(latents), latents)

    @torch.inference_mode()
    def score(self, images: Array) -> Scored:
        """How probable images (N, H, W) in [0, 1] are, each on its own. Raises: ShapeError; InputError."""
        known = self.checkpoint.config.novelty
        draws = known.draws if known else novelty.DRAWS
        # One by one, since a batch rounds otherwise than its members; the draws fill the processor.
        scores = [novelty.score(self.checkpoint.model, x, draws) for x in self._vectors(images).split(1)]
        surprise = _finite("surprise", torch.cat([score.surprise for score in scores]).numpy())
        kl = [score.kl for score in scores if score.kl is not None]
        return Scored(
            -surprise if kl else None,
            torch.cat([score.log_likelihood for score in scores]).numpy(),
            torch.cat(kl).numpy() if kl else None,
            novelty.percentile(known, surprise) if known else None,
        )

    def sample(self, count: int, seed: int | None = None, temperature: float = 1.0) -> Sampled:
        """Decode `count` draws of temperature * N(0, I), as the prior turns them into codes.

        The noise depends on the seed and on nothing else, so that image i of a seed is the same whatever the count,
        the machine or the neighbours. Without a seed one is drawn, and told.
        Raises: NotGenerativeError: if nothing controls how the model's codes are distributed. InputError.
        """
        if not self.generative:
            raise NotGenerativeError(
                f"{self.name} is a deterministic autoencoder: nothing controls how its codes are distributed, so noise "
                f"decodes to nothing in particular; {self._can()}"
            )
        seed = secrets.randbelow(DRAWN_SEED_LIMIT) if seed is None else seed
        generator = np.random.Generator(np.random.Philox(seed))
        epsilon = generator.standard_normal((count, self.latents), dtype=np.float32)
        latents = self._codes(epsilon * np.float32(temperature))
        return Sampled(self.decode(latents), latents, seed)

    def map(self) -> LatentMap:
        """Where test digits lie among the codes of a model of two latents. Raises: NotCapableError."""
        if self.latents != 2:
            raise NotCapableError(f"{self.name} has {self.latents} latents, and a map is of two; {self._can()}")
        if self.checkpoint.map is None:
            raise NotCapableError(f"{self.name} has two latents, but its checkpoint carries no map; {self._can()}")
        return self.checkpoint.map

    def draw_map(self, size: int) -> Array:
        """What a model of two latents decodes, at the quantiles of evenly spaced probabilities of its prior.

        Returns: images (size * size, H, W), row by row from the top; the first latent grows rightwards, the second
            upwards.
        Raises: NotCapableError: if the model has no map. NotGenerativeError: if it has no prior.
        Source: Kingma & Welling 2014, figure 4.
        """
        self.map()
        if not self.generative:
            raise NotGenerativeError(
                f"{self.name} is a deterministic autoencoder: it has no prior at whose quantiles to draw, and its "
                f"map is numbers alone; {self._can()}"
            )
        quantiles = torch.special.ndtri((torch.arange(size, dtype=torch.float64) + 0.5) / size)
        y, x = torch.meshgrid(quantiles.flip(0), quantiles, indexing="ij")
        return self.decode(self._codes(torch.stack((x, y), -1).reshape(-1, 2).float().numpy()))

    def card(self) -> dict[str, Any]:
        """What a caller may want to know of the model, as JSON."""
        config = self.checkpoint.config
        return {
            "name": self.name,
            "kind": config.model.kind,
            "latents": self.latents,
            "input_shape": config.model.input_shape,
            "generative": self.generative,
            "capabilities": self.capabilities,
            "likelihood": config.model.likelihood.model_dump(),
            "prior": config.model.prior.model_dump() if self.generative else None,
            "architecture": config.model.architecture,
            "parameters": sum(p.numel() for p in self.checkpoint.model.parameters()),
            "sha256": config.weights.sha256,
            "novelty": config.novelty and {"images": config.novelty.images, "draws": config.novelty.draws},
            "metrics": config.metrics,
            "training": config.training,
        }

    def _vectors(self, images: Array) -> torch.Tensor:
        """Images (N, H, W) -> (N, D). Raises: ShapeError."""
        if images.shape[1:] != self.image_shape:
            raise ShapeError(
                f"images: expected shape (N, {self.image_shape[0]}, {self.image_shape[1]}), found {images.shape}"
            )
        return torch.from_numpy(images.reshape(len(images), -1))

    def _images(self, x: torch.Tensor) -> Array:
        """(N, D) -> images (N, H, W). Raises: InputError."""
        return _finite("images", x.numpy()).reshape(-1, *self.image_shape)

    @torch.inference_mode()
    def _codes(self, noise: Array) -> Array:
        """Standard normal noise (N, Z) -> codes (N, Z). Raises: InputError."""
        return _finite("latents", self.checkpoint.model.from_noise(torch.from_numpy(noise)).numpy())

    def _can(self) -> str:
        *others, last = self.capabilities
        return f"it can {', '.join(others)} and {last}"


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
