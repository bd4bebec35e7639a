"""Checkpoints: a folder with `config.json`, `model.safetensors`, a model card, `README.md`, and for two latents a map.

Loading is strict and never runs what it reads: there is no pickle here.
"""

import hashlib
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import orjson
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from models.autoencoder import Autoencoder
from models.card import METRICS_OF_TRAINING, render_card
from models.config import FORMAT_VERSION, CheckpointConfig, MapFile, ModelConfig, Novelty, Weights
from models.errors import CheckpointError
from models.files import ZOO, shipped_names, write_folder_atomically
from models.kinds import build
from models.strict import explain

Tensors = TypeVar("Tensors")

STORED = torch.float32, torch.float16  # as which weights may lie in a file; in memory they are the first

CONFIG_FILE, CARD_FILE = "config.json", "README.md"
FILES = (CONFIG_FILE, CARD_FILE, "model.safetensors", "map.safetensors")  # whatever else lies in its folder is kept


class LatentMap(NamedTuple):
    """Where test digits lie among the codes."""

    mean: npt.NDArray[np.float16]  # (N, Z), the posterior's
    labels: npt.NDArray[np.uint8]  # (N,), which digit each is


@dataclass(frozen=True)
class Checkpoint:
    """A model in memory, and what its folder says of it."""

    path: Path
    config: CheckpointConfig
    model: Autoencoder
    map: LatentMap | None

    @property
    def name(self) -> str:
        return self.config.name


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read, check and rebuild the model in `folder`; it comes in evaluation mode, on the CPU.

    Where the folder is exchanged meanwhile it is read again: the files of a checkpoint are of one.

    Raises: CheckpointError: if a file is missing, the version or kind is unknown, the hash of the weights is not the
        one that `config.json` states, or a tensor is missing, extra, wrongly shaped or typed, or not finite.
        The message names the file, what was expected and what was found.
    """
    while True:
        config, model = read_outline(folder)
        try:
            return _load(folder, config, model)
        except CheckpointError:
            if read_config(folder) == config:
                raise


def _load(folder: Path, config: CheckpointConfig, model: Autoencoder) -> Checkpoint:
    path = folder / config.weights.file
    tensors = _parse(path, _read_hashed(path, config.weights.sha256), load_tensors)
    _check_tensors(path, model.state_dict(), tensors)
    model.load_state_dict({key: tensor.float() for key, tensor in tensors.items()}, strict=True, assign=True)
    model.requires_grad_(False).eval()
    return Checkpoint(folder, config, model, _read_map(folder, config, model.latents))


def read_outline(folder: Path) -> tuple[CheckpointConfig, Autoencoder]:
    """`config.json`, checked, and the model that it describes: shapes without memory or weights.

    Raises: CheckpointError: as `load_checkpoint`, for this file.
    """
    config = read_config(folder)
    try:
        with torch.device("meta"):  # where the weights' own tensors will come
            return config, build(config.model)
    except CheckpointError as error:
        raise CheckpointError(f"{folder / CONFIG_FILE}: {error}") from error


def read_config(folder: Path) -> CheckpointConfig:
    """Only `config.json`, checked. Raises: CheckpointError."""
    path = folder / CONFIG_FILE
    if not os.path.isdir(folder):  # noqa: PTH112  Path.is_dir raises where a parent may not be read
        found = "a file" if os.path.exists(folder) else "nothing"  # noqa: PTH110
        hint = f"; shipped are {', '.join(shipped_names())}" if folder.parent == ZOO else ""
        raise CheckpointError(f"{folder}: expected a checkpoint folder, found {found}{hint}")
    try:
        document = orjson.loads(_read(path))
    except orjson.JSONDecodeError as error:
        raise CheckpointError(f"{path}: not JSON: {error}") from error
    if not isinstance(document, dict):
        raise CheckpointError(f"{path}: expected a JSON object, found {type(document).__name__}")
    version = document.get("format_version")
    if version != FORMAT_VERSION:
        raise CheckpointError(f"{path}: format_version: expected {FORMAT_VERSION}, found {version!r}")
    try:
        return CheckpointConfig.model_validate_json(orjson.dumps(document))
    except ValidationError as error:
        raise CheckpointError(f"{path}: {explain(error, document)}") from error


def save_checkpoint(
    folder: Path,
    name: str,
    model_config: ModelConfig,
    tensors: dict[str, torch.Tensor],
    training: dict[str, Any],
    metrics: dict[str, Any],
    novelty: Novelty | None = None,
) -> CheckpointConfig:
    """Write a checkpoint, model card included, atomically: a reader sees the old folder or the new one.

    Raises: OSError: if it cannot be written; what was there is then as it was.
    """
    # safetensors wants whole, unshared memory.
    weights = save_tensors({key: tensor.detach().cpu().contiguous().clone() for key, tensor in tensors.items()})
    config = CheckpointConfig(
        name=name,
        model=model_config,
        weights=Weights(sha256=hashlib.sha256(weights).hexdigest()),
        novelty=novelty,
        training=training,
        metrics=metrics,
    )
    write_folder_atomically(folder, {config.weights.file: weights} | _documents(config), FILES)
    return config


def update_checkpoint(
    folder: Path,
    weights_sha256: str,
    *,
    metrics: dict[str, Any] | None = None,
    novelty: Novelty | None = None,
    latent_map: LatentMap | None = None,
) -> CheckpointConfig:
    """Add what was measured to a checkpoint, and so to its card; the weights stay as they are.

    Args:
        weights_sha256: of the weights that were measured.
        metrics: of one evaluation; they take the place of an earlier one's.
    Raises: CheckpointError: if there is no checkpoint, or meanwhile another. OSError: if it cannot be written.
    """

    def measured() -> CheckpointConfig:
        config = read_config(folder)
        if config.weights.sha256 != weights_sha256:
            raise CheckpointError(
                f"{folder / config.weights.file}: expected the weights that were measured, sha256 {weights_sha256}, "
                f"found {config.weights.sha256}: the checkpoint was exchanged meanwhile, and nothing is written into it"
            )
        return config

    config = measured()
    files: dict[str, bytes] = {config.weights.file: _read_hashed(folder / config.weights.file, weights_sha256)}
    changes: dict[str, Any] = {"novelty": novelty or config.novelty}
    if metrics is not None:
        changes["metrics"] = {
            key: value for key, value in config.metrics.items() if key in METRICS_OF_TRAINING
        } | metrics
    if latent_map is not None:
        data = save_arrays(latent_map._asdict())
        changes["map"] = MapFile(sha256=hashlib.sha256(data).hexdigest())
        files[changes["map"].file] = data
    elif config.map:
        files[config.map.file] = _read_hashed(folder / config.map.file, config.map.sha256)
    config = config.model_copy(update=changes)
    write_folder_atomically(folder, files | _documents(config), FILES, measured)
    return config


def _documents(config: CheckpointConfig) -> dict[str, bytes]:
    document = orjson.dumps(config.model_dump(mode="json"), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    return {CONFIG_FILE: document, CARD_FILE: render_card(config).encode()}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: expected a file of the checkpoint: {error.strerror}") from error


def _read_hashed(path: Path, expected: str) -> bytes:
    data = _read(path)
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise CheckpointError(f"{path}: expected sha256 {expected}, found {found}")
    return data


def _parse(path: Path, data: bytes, load: Callable[[bytes], Tensors]) -> Tensors:
    try:
        return load(data)
    except (SafetensorError, struct.error, ValueError, KeyError) as error:  # KeyError: a type that the library lacks
        raise CheckpointError(f"{path}: not a safetensors file: {error}") from error


def _read_map(folder: Path, config: CheckpointConfig, latents: int) -> LatentMap | None:
    if config.map is None:
        return None
    path = folder / config.map.file
    arrays = _parse(path, _read_hashed(path, config.map.sha256), load_arrays)
    found = {name: (array.dtype.name, array.shape) for name, array in arrays.items()}
    count = arrays["labels"].size if "labels" in arrays else 0
    expected = {"mean": ("float16", (count, latents)), "labels": ("uint8", (count,))}
    if found != expected or not np.isfinite(arrays["mean"]).all():
        raise CheckpointError(
            f"{path}: expected finite mean float16 (N, {latents}) and labels uint8 (N,), found {found}"
        )
    return LatentMap(arrays["mean"], arrays["labels"])


def _check_tensors(path: Path, expected: dict[str, torch.Tensor], found: dict[str, torch.Tensor]) -> None:
    if missing := sorted(expected.keys() - found.keys()):
        raise CheckpointError(f"{path}: missing tensor {', '.join(missing)}")
    if extra := sorted(found.keys() - expected.keys()):
        raise CheckpointError(f"{path}: unexpected tensor {', '.join(extra)}")
    for key, want in expected.items():
        have = found[key]
        if have.shape != want.shape or have.dtype not in STORED:
            raise CheckpointError(
                f"{path}: tensor {key}: expected {' or '.join(map(str, STORED))} {tuple(want.shape)}, "
                f"found {have.dtype} {tuple(have.shape)}"
            )
        if not have.isfinite().all():
            raise CheckpointError(f"{path}: tensor {key}: expected finite numbers, found NaN or infinity")
