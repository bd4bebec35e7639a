"""MNIST: 70,000 handwritten digits, 28x28, light strokes on dark, in four IDX files.

Source: LeCun, Cortes & Burges, "The MNIST database of handwritten digits".
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from models.data.idx import read_idx
from models.data.unpacked import sha256_unpacked
from models.errors import DataError

SPLITS = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
# Of the decompressed files.
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


class Digits(NamedTuple):
    """Handwritten digits and what they stand for."""

    images: npt.NDArray[np.uint8]  # (N, 28, 28), 0 is background
    labels: npt.NDArray[np.uint8]  # (N,), 0 to 9


@dataclass(frozen=True)
class FileInfo:
    """What one of the four files holds."""

    path: Path
    shape: tuple[int, ...]
    dtype: str
    sha256: str  # of the decompressed content
    published: bool  # whether that is MNIST's own file, to the bit


def load_mnist(folder: Path, split: Literal["train", "test"]) -> Digits:
    """Read one split of a folder that holds files named as MNIST's, plain or gzip, with one digit or more.

    Returns: images (N, 28, 28) uint8 and labels (N,) uint8.
    Raises: DataError: if a file is missing or damaged, or the two do not belong together.
    """
    folder = Path(folder)
    if split not in SPLITS:
        raise DataError(f"MNIST has the splits {' and '.join(SPLITS)}, found {split!r}")
    images_path, labels_path = find_files(folder, SPLITS[split])
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.dtype != np.uint8 or images.shape[1:] != (28, 28) or not len(images):
        raise DataError(f"{images_path}: expected uint8 (N, 28, 28), found {images.dtype} {images.shape}")
    if labels.dtype != np.uint8 or labels.shape != images.shape[:1]:
        raise DataError(
            f"{labels_path}: expected uint8 ({len(images)},), a label for each image of {images_path.name}, "
            f"found {labels.dtype} {labels.shape}"
        )
    if labels.max() > 9:
        raise DataError(f"{labels_path}: expected labels from 0 to 9, found {labels.max()}")
    return Digits(images, labels)


def info(folder: Path) -> list[FileInfo]:
    """What the four files of `folder` hold, in the order of `SHA256`.

    Raises: DataError: if a file is missing or damaged.
    """
    return [_file_info(path, SHA256[name]) for name, path in zip(SHA256, find_files(Path(folder), SHA256), strict=True)]


def origin(folder: Path, split: Literal["train", "test"]) -> dict[str, str]:
    """Where a split's images in `folder` come from and under what licence, as far as it is known: for a model card.

    Raises: DataError: if they are missing or damaged.
    """
    name, _ = SPLITS[split]
    (path,) = find_files(Path(folder), [name])
    digits, count = ("training", 60_000) if split == "train" else ("test", 10_000)
    if sha256_unpacked(path) == SHA256[name]:
        return {"data": f"MNIST, {digits} digits (LeCun, Cortes & Burges)", "data_licence": "CC BY-SA 3.0"}
    name = readable(f"{path.resolve().parent.name}/{path.name}")
    return {"data": f"`{name}`, which is not MNIST's own file of {count:,} digits"}


def readable(name: str) -> str:
    """A file's name as text, also where its bytes are not UTF-8."""
    return os.fsencode(name).decode("utf-8", "replace")


def find_files(folder: Path, names: Iterable[str]) -> list[Path]:
    """Where each of `names` is in `folder`.

    Raises: DataError: if any is missing; it names them all.
    """
    found = {name: find_file(folder, name) for name in names}
    if missing := [name for name, path in found.items() if path is None]:
        why = "" if folder.is_dir() else " (there is no such folder)"
        # Where some are there, they may be other images than MNIST's.
        empty = not any(find_file(folder, name) for name in SHA256)
        hint = f"; `reparam data fetch --to {folder}` gets MNIST's" if empty else ""
        raise DataError(
            f"{folder}: expected {', '.join(found)}, each plain or with .gz, found no {', '.join(missing)}{why}{hint}"
        )
    return [path for path in found.values() if path is not None]


def find_file(folder: Path, name: str) -> Path | None:
    """Where `name` is, with or without `.gz`. The `.gz` goes first because it is what a fetch puts there."""
    try:
        return next((path for path in (folder / f"{name}.gz", folder / name) if path.is_file()), None)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror or error}") from error


def _file_info(path: Path, published_sha256: str) -> FileInfo:
    array = read_idx(path)
    sha256 = sha256_unpacked(path)
    return FileInfo(path, array.shape, array.dtype.name, sha256, sha256 == published_sha256)
