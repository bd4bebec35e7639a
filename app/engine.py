"""The models that are served: what each can do, batched, and exchanged while they run.

Long, for all that a model can be asked stands in one class: whichever route asks, it is checked and refused alike.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import NormalDist
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from app import metrics
from app.batching import BatchQueue, Columns, Rows
from app.examples import example_images
from app.interpolation import InterpolationPath, linear, spherical
from app.network import Network, Runtime, check_runtime, limit_threads
from app.stages import record
from models import novelty
from models.checkpoint import LatentMap, load_checkpoint, read_outline
from models.device import Device, find_device
from models.errors import (
    CheckpointError,
    InputError,
    ModelNotFoundError,
    NotCapableError,
    NotGenerativeError,
    ReparamError,
    ShapeError,
)

Array = npt.NDArray[np.float32]
Capability = Literal["encode", "decode", "reconstruct", "interpolate", "score", "sample", "map"]

SEED_LIMIT = 2**63
DRAWN_SEED_LIMIT = 2**32  # seeds that are drawn here are short to copy, and exact in JavaScript


MAX_QUEUE_IMAGES = 20_000

logger = logging.getLogger(__name__)


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

    Calls that wait while it is busy share a forward pass; no answer depends on the neighbours by more than rounding.
    Every answer is finite, or an error: `InputError` where the input drove the network out of float32's range.
    Any call raises OverloadedError if too many images wait, and CheckpointError if the weights cannot be loaded.

    Args:
        folder: the checkpoint's, of which only the description is read here: `load` reads and warms the rest, and so
            does the first call.
        max_waiting: images that may wait for it.
    Raises: CheckpointError.
    """

    def __init__(
        self,
        folder: Path,
        device: Device = "cpu",
        max_waiting: int = MAX_QUEUE_IMAGES,
        runtime: Runtime = "torch",
    ) -> None:
        self.folder, self._device, self._max_waiting, self._runtime = folder, device, max_waiting, runtime
        self.config, self._outline = read_outline(folder)
        self.name = self.config.name
        self.latents = self._outline.latents
        self.generative = self._outline.generative
        _, *shape = self.config.model.input_shape
        self.image_shape = (shape[0], shape[1])  # rows, columns
        self.box = self.config.preprocessing.box  # the side of the square that a digit's ink is scaled to fit
        self.capabilities: list[Capability] = ["encode", "decode", "reconstruct", "interpolate", "score"]
        self.capabilities += ["sample"] if self.generative else []
        self.capabilities += ["map"] if self.config.map and self.latents == 2 else []
        self.example_codes: Array | None = None  # (2, Z), once it is loaded, where it takes images of their size
        self._map: LatentMap | None = None
        self._queue: BatchQueue | None = None
        self._loading: asyncio.Task[None] | None = None
        self._failed = False

    @property
    def queue_images(self) -> int:
        """How many images, or latents, wait."""
        return self._queue.waiting if self._queue else 0

    @property
    def queue_age_s(self) -> float:
        """For how long the call that waits longest has waited, in seconds; 0 if none does."""
        return self._queue.age_s if self._queue else 0.0

    @property
    def loaded(self) -> bool:
        """Whether it is in memory, checked and warm."""
        return self._queue is not None

    @property
    def failed(self) -> bool:
        """Whether a call found that it cannot be loaded, and none has loaded it since."""
        return self._failed and not self.loaded

    def load(self) -> None:
        """Read, check and warm the weights. Raises: CheckpointError."""
        checkpoint = load_checkpoint(self.folder)
        if checkpoint.config != self.config:
            raise CheckpointError(
                f"{self.folder}: expected the checkpoint that was there when the service looked last, found another; "
                "SIGHUP makes the service take it, if it is sound and of the same name"
            )
        draws = self.config.novelty.draws if self.config.novelty else novelty.DRAWS
        network = Network(checkpoint.model, self.image_shape, draws, find_device(self._device), self._runtime)
        network.warm()
        digits = example_images()
        self.example_codes = network.encode(digits)[0] if digits.shape[1:] == self.image_shape else None
        thread = ThreadPoolExecutor(1, f"infer-{self.name}")  # which starts with its first pass
        self._map = checkpoint.map
        self._queue = BatchQueue(
            network.passes, network.sizes, self._max_waiting, thread, network.inline, partial(metrics.batch, self.name)
        )

    def successor(self) -> Self:
        """What lies in the folder now, not loaded yet. Raises: CheckpointError."""
        return type(self)(self.folder, self._device, self._max_waiting, self._runtime)

    async def encode(self, images: Rows) -> Encoded:
        """Images (N, H, W), float32 in [0, 1] or uint8 -> the posterior. Raises: ShapeError; InputError."""
        mean, variance = await self._run("encode", self._checked(images))
        assert mean is not None  # noqa: S101  for the type checker
        return Encoded(mean, variance)

    async def decode(self, latents: Array) -> Array:
        """Latents (N, Z) -> images (N, H, W) in [0, 1]. Raises: ShapeError; InputError."""
        if latents.ndim != 2 or latents.shape[1] != self.latents:
            raise ShapeError(f"latents: expected shape (N, {self.latents}) for {self.name}, found {latents.shape}")
        return await self._run_for_one("decode", latents)

    async def reconstruct(self, images: Rows) -> Array:
        """Images (N, H, W) in [0, 1] -> what the model makes of them. Raises: ShapeError; InputError."""
        return await self._run_for_one("reconstruct", self._checked(images))

    async def interpolate(self, ends: Rows, steps: int, path: InterpolationPath = "linear") -> Interpolated:
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
        codes = ends if ends.ndim == 2 else (await self.encode(ends)).mean
        if path == "linear":
            latents = linear(codes[0], codes[1], steps)
        else:
            first, last = await self._run_for_one("to_noise", codes)
            latents = (await self._codes(spherical(first, last, steps))).copy()
            latents[0], latents[-1] = codes  # a flow and its inverse round
        return Interpolated(await self.decode(latents), latents)

    async def score(self, images: Rows) -> Scored:
        """How probable images (N, H, W) in [0, 1] are. Raises: ShapeError; InputError."""
        log_likelihood, kl = await self._run("score", self._checked(images))
        assert log_likelihood is not None  # noqa: S101  for the type checker
        surprise = -log_likelihood if kl is None else kl - log_likelihood
        known = self.config.novelty
        return Scored(
            None if kl is None else -surprise,
            log_likelihood,
            kl,
            novelty.percentile(known, surprise) if known else None,
        )

    async def sample(self, count: int, seed: int | None = None, temperature: float = 1.0) -> Sampled:
        """Decode `count` draws of temperature * N(0, I), as the prior turns them into codes.

        The noise depends on the seed and on nothing else, so that image i of a seed is the same whatever the count,
        the machine or the neighbours. Without a seed one is drawn, and told.
        Raises: NotGenerativeError: if nothing controls how the model's codes are distributed. InputError.
        """
        latents, seed = await self.draw(count, seed, temperature)
        return Sampled(await self.decode(latents), latents, seed)

    async def draw(self, count: int, seed: int | None = None, temperature: float = 1.0) -> tuple[Array, int]:
        """The codes (count, Z) of a sample, and its seed. Raises: as `sample` does."""
        if not self.generative:
            raise NotGenerativeError(
                f"{self.name} is a deterministic autoencoder: nothing controls how its codes are distributed, so noise "
                f"decodes to nothing in particular; {self._can()}"
            )
        seed = secrets.randbelow(DRAWN_SEED_LIMIT) if seed is None else seed
        generator = np.random.Generator(np.random.Philox(seed))
        epsilon = generator.standard_normal((count, self.latents), dtype=np.float32)
        return await self._codes(epsilon * np.float32(temperature)), seed

    async def map(self) -> LatentMap:
        """Where test digits lie among the codes of a model of two latents. Raises: NotCapableError."""
        if self.latents != 2:
            raise NotCapableError(
                f"{self.name} has {self.latents} latent{'s' * (self.latents != 1)}, and a map is of two; {self._can()}"
            )
        await self._ready()
        if self._map is None:
            how = ", which `reparam evaluate --update` makes" if self.image_shape == (28, 28) else ""
            raise NotCapableError(f"{self.name} has two latents, but its checkpoint carries no map{how}; {self._can()}")
        return self._map

    async def draw_map(self, size: int) -> Array:
        """What a model of two latents decodes, at the quantiles of evenly spaced probabilities of its prior.

        Returns: images (size * size, H, W), row by row from the top; the first latent grows rightwards, the second
            upwards.
        Raises: NotCapableError: if the model has no map. NotGenerativeError: if it has no prior.
        Source: Kingma & Welling 2014, figure 4.
        """
        await self.map()
        if not self.generative:
            raise NotGenerativeError(
                f"{self.name} is a deterministic autoencoder: it has no prior at whose quantiles to draw, and its "
                f"map is numbers alone; {self._can()}"
            )
        quantiles = np.array([NormalDist().inv_cdf((i + 0.5) / size) for i in range(size)], np.float32)
        x, y = np.meshgrid(quantiles, quantiles[::-1])
        return await self.decode(await self._codes(np.stack((x, y), -1).reshape(-1, 2)))

    def card(self) -> dict[str, Any]:
        """What a caller may want to know of the model, as JSON."""
        config = self.config
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
            "parameters": sum(p.numel() for p in self._outline.parameters()),
            "sha256": config.weights.sha256,
            "novelty": config.novelty and {"images": config.novelty.images, "draws": config.novelty.draws},
            "metrics": config.metrics,
            "training": config.training,
        }

    async def _ready(self) -> BatchQueue:
        """The way to the network, which is loaded first if it is not; once, however many call and leave meanwhile."""
        if self._queue is None:
            if self._loading is None or self._loading.done():  # where it failed it is tried again
                self._loading = asyncio.create_task(self._load())
            await asyncio.shield(self._loading)
        assert self._queue is not None  # noqa: S101  for the type checker
        return self._queue

    async def _load(self) -> None:
        try:
            await asyncio.to_thread(self.load)
        except Exception:
            self._failed = True
            raise

    async def _run(self, function: str, rows: Rows) -> Columns:
        """What a pass makes of rows. Raises: InputError: if it is not finite. OverloadedError."""
        queue = self._queue or await self._ready()
        columns, queue_s, infer_s, finite = await queue.run(function, rows)
        record("queue", queue_s)
        record("infer", infer_s)
        if not finite and not all(column is None or np.isfinite(column).all() for column in columns):
            raise InputError(f"{function}: the input drives the network out of float32's range; use smaller numbers")
        return columns

    async def _run_for_one(self, function: str, rows: Rows) -> Array:
        """As `_run`, of a function with one column."""
        (column,) = await self._run(function, rows)
        assert column is not None  # noqa: S101  for the type checker
        return column

    async def _codes(self, noise: Array) -> Array:
        """Standard normal noise (N, Z) -> codes (N, Z). Raises: InputError."""
        return await self._run_for_one("from_noise", noise)

    def _checked(self, images: Rows) -> Rows:
        """Raises: ShapeError."""
        if images.shape[1:] != self.image_shape:
            raise ShapeError(
                f"images: expected shape (N, {self.image_shape[0]}, {self.image_shape[1]}), found {images.shape}"
            )
        return images

    def _can(self) -> str:
        *others, last = self.capabilities
        return f"it can {', '.join(others)} and {last}"


class Engine:
    """The models that are served, by name."""

    def __init__(self, models: Sequence[Model], default: str | None = None) -> None:
        self.models = {model.name: model for model in models}
        self.default = default or models[0].name
        if self.default not in self.models:
            raise CheckpointError(
                f"default_model (set by REPARAM_DEFAULT_MODEL): expected one of {', '.join(self.models)}, "
                f"found {self.default!r}"
            )
        for name in self.models:
            metrics.served(name)

    @classmethod
    def load(
        cls,
        folders: Sequence[Path],
        default: str | None = None,
        *,
        threads: int = 1,
        device: Device = "cpu",
        runtime: Runtime = "torch",
        max_waiting: int = MAX_QUEUE_IMAGES,
        lazy: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Self:
        """Check every checkpoint, and load and warm it.

        Args:
            folders: the checkpoints'.
            default: the model that answers a call that names none; None: the first.
            threads: of the CPU, that a forward pass uses.
            runtime: what runs networks with convolutions on a CPU.
            max_waiting: images that may wait for each model.
            lazy: whether a model but the default waits for its first call to be loaded.
            progress: is told of how many models, of how many there are, that was done.
        Raises: CheckpointError: if one is bad, or two have one name. DeviceError.
        """
        check_runtime(runtime, find_device(device))
        limit_threads(threads)
        models: dict[str, Model] = {}
        for folder in folders:
            model = Model(folder, device, max_waiting, runtime)
            if model.name in models:
                other = models[model.name].folder
                raise CheckpointError(
                    f"{folder}: expected a name of its own, found {model.name!r}, which {other} has too"
                )
            models[model.name] = model
        engine = cls(list(models.values()), default)
        for done, model in enumerate(models.values(), 1):
            if not lazy or model.name == engine.default:
                engine.models[model.name] = _load_latest(model)
            if progress:
                progress(done, len(models))
        return engine

    def model(self, name: str | None = None) -> Model:
        """The model of that name, or the default one. Raises: ModelNotFoundError."""
        found = self.models.get(self.default if name is None else name)
        if found is None:
            raise ModelNotFoundError(f"model: expected one of {', '.join(self.models)}, found {name!r:.80}")
        return found

    async def reload(self) -> bool:
        """Take up the checkpoints that have changed: each is loaded, checked and warmed beside the old one.

        The calls that the old one has begun it finishes. Where the new one is bad, the old one stays, and the log says
        why. What has not changed is checked all the same: a worker that starts later must be able to load it.
        Returns: whether any was taken up.
        """
        taken = False
        for name, model in list(self.models.items()):
            try:
                changed = await asyncio.to_thread(_load_changed, model)
            except Exception as error:
                metrics.reloaded(name, ok=False)
                unexpected = None if isinstance(error, ReparamError | OSError) else error
                serves = "the old one stays" if model.loaded else "nor loaded before; its next call tries again"
                logger.error("%s: not reloaded, %s: %s", name, serves, error, exc_info=unexpected)
                continue
            if changed is None:
                metrics.unchanged(name)
                logger.info("%s: not changed", name)
                continue
            self.models[name] = changed
            taken = True
            metrics.reloaded(name, ok=True)
            logger.info("%s: reloaded, sha256 %s", name, changed.config.weights.sha256)
        return taken


def _load_latest(model: Model) -> Model:
    """The model, loaded; or what took its checkpoint's place while others were. Raises: CheckpointError."""
    while True:
        try:
            model.load()
        except CheckpointError:
            found = model.successor()
            if found.config == model.config or found.name != model.name:
                raise
            model = found
        else:
            return model


def _load_changed(model: Model) -> Model | None:
    """What lies now in the folder of a model, if it is another checkpoint, or that one could not be loaded.

    Raises: CheckpointError.
    """
    found = model.successor()
    if found.name != model.name:
        raise CheckpointError(f"{model.folder}: expected the name {model.name!r}, found {found.name!r}")
    changed = found.config != model.config
    if changed and model.loaded:
        found = _load_latest(found)
    else:
        load_checkpoint(found.folder)
    return found if changed or model.failed else None
