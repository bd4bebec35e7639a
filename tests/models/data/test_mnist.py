import gzip
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.data import SHA256, info, load_mnist, origin, read_idx, readable, write_idx
from models.errors import DataError

IMAGES = np.zeros((3, 28, 28), np.uint8)
LABELS = np.array([7, 2, 1], np.uint8)


def write(folder: Path, images: np.ndarray = IMAGES, labels: np.ndarray = LABELS, suffix: str = ".gz") -> Path:
    write_idx(folder / f"t10k-images-idx3-ubyte{suffix}", images)
    write_idx(folder / f"t10k-labels-idx1-ubyte{suffix}", labels)
    return folder


def fails(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        load_mnist(folder, "test")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_loads_real_digits(mnist: Path) -> None:
    train, test = load_mnist(mnist, "train"), load_mnist(mnist, "test")
    assert train.images.shape == (2000, 28, 28)
    assert test.images.shape == (1000, 28, 28)
    assert train.images.dtype == train.labels.dtype == np.uint8
    assert train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert np.bincount(test.labels).tolist() == [85, 126, 116, 107, 110, 87, 87, 99, 89, 94]
    # MNIST fits a digit into 20x20 and centres it by mass, light on dark: the border stays empty.
    assert train.images.max() == 255
    assert train.images[:, 0].max() == 0
    rows = np.arange(28) @ train.images.sum(axis=2, dtype=np.float64).T / train.images.sum(axis=(1, 2))
    assert np.all(np.abs(rows - 14) < 1)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_takes_plain_and_gzip_files(tmp_path: Path, suffix: str) -> None:
    images, labels = load_mnist(write(tmp_path, suffix=suffix), "test")
    assert np.array_equal(images, IMAGES)
    assert np.array_equal(labels, LABELS)


def test_prefers_the_gzip_file_where_both_are(tmp_path: Path) -> None:
    write(tmp_path, labels=LABELS[::-1], suffix="")
    write(tmp_path, suffix=".gz")
    assert load_mnist(tmp_path, "test").labels.tolist() == LABELS.tolist()


def test_a_missing_folder_is_named_with_the_way_to_get_it(tmp_path: Path) -> None:
    message = fails(tmp_path / "nowhere")
    for part in (
        str(tmp_path / "nowhere"),
        "no such folder",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
        "reparam data fetch",
    ):
        assert part in message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    message = fails(tmp_path)
    assert message.endswith("found no t10k-labels-idx1-ubyte")  # a fetch would not tell the others from MNIST's
    for path in tmp_path.iterdir():
        path.unlink()
    assert fails(tmp_path).endswith(f"; `reparam data fetch --to {tmp_path}` gets MNIST's")


@pytest.mark.parametrize(
    ("images", "labels", "found"),
    [
        (IMAGES, LABELS[:2], "expected uint8 (3,)"),
        (IMAGES, LABELS.astype(np.int32), "found int32 (3,)"),
        (IMAGES, LABELS[:, None], "found uint8 (3, 1)"),
        (IMAGES, LABELS + np.uint8(3), "expected labels from 0 to 9, found 10"),
        (IMAGES[:, :27], LABELS, "expected uint8 (N, 28, 28), found uint8 (3, 27, 28)"),
        (IMAGES.reshape(3, 784), LABELS, "found uint8 (3, 784)"),
        (IMAGES.astype(np.float32), LABELS, "found float32 (3, 28, 28)"),
        (IMAGES[:0], LABELS[:0], "found uint8 (0, 28, 28)"),
    ],
)
def test_files_that_are_not_digits_are_an_error(
    tmp_path: Path, images: np.ndarray, labels: np.ndarray, found: str
) -> None:
    message = fails(write(tmp_path, images, labels))
    assert found in message
    assert message.startswith(str(tmp_path / "t10k-"))


def test_an_unknown_split_is_an_error(mnist: Path) -> None:
    with pytest.raises(DataError, match="train and test, found 'valid'"):
        load_mnist(mnist, "valid")  # type: ignore[arg-type]


def test_info_describes_each_file(mnist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # `sha256sum` of the decompressed file.
    labels_sha256 = "832c0d20f0dc42e575488c75a83a970787d4c8d4d05831b2ef03701b4a478a90"
    monkeypatch.setitem(SHA256, "t10k-labels-idx1-ubyte", labels_sha256)
    files = info(mnist)
    assert [file.path.name for file in files] == [f"{name}.gz" for name in SHA256]
    assert [file.shape for file in files] == [(2000, 28, 28), (2000,), (1000, 28, 28), (1000,)]
    assert {file.dtype for file in files} == {"uint8"}
    assert files[-1].sha256 == labels_sha256
    # The subset is not what was published; a file with the hash in the table is.
    assert [file.published for file in files] == [False, False, False, True]


def test_info_hashes_the_content_and_not_its_compression(mnist: Path, tmp_path: Path) -> None:
    for name in SHA256:
        (tmp_path / name).write_bytes(gzip.decompress((mnist / f"{name}.gz").read_bytes()))
    assert [file.sha256 for file in info(tmp_path)] == [file.sha256 for file in info(mnist)]


def test_info_of_a_damaged_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found no train-images"):
        info(write(tmp_path))


def test_the_subset_is_what_its_readme_says(mnist: Path) -> None:
    readme = (mnist.parent / "README.md").read_text()
    for file in info(mnist):
        assert f"`{file.path.name}` | {file.shape} {file.dtype} | `{file.sha256}`" in readme
        assert read_idx(file.path).shape == file.shape


@pytest.mark.parametrize(
    ("split", "name", "count", "digits"),
    [
        ("train", "train-images-idx3-ubyte", "60,000", "training digits"),
        ("test", "t10k-images-idx3-ubyte", "10,000", "test digits"),
    ],
)
def test_where_images_come_from_is_said_of_mnists_own_files_alone(
    mnist: Path, monkeypatch: pytest.MonkeyPatch, split: Any, name: str, count: str, digits: str
) -> None:
    assert origin(mnist, split) == {"data": f"`mnist/{name}.gz`, which is not MNIST's own file of {count} digits"}
    of_file = {file.path.name.removesuffix(".gz"): file.sha256 for file in info(mnist)}
    monkeypatch.setitem(SHA256, name, of_file[name])
    known = {"data": f"MNIST, {digits} (LeCun, Cortes & Burges)", "data_licence": "CC BY-SA 3.0"}
    assert origin(mnist, split) == known


def test_a_name_that_is_no_text_is_told_as_text(tmp_path: Path, mnist: Path) -> None:
    assert readable("mnist") == "mnist"
    folder = tmp_path / os.fsdecode(b"d\xff")
    shutil.copytree(mnist, folder)
    told = origin(folder, "train")["data"]
    assert told.startswith("`d\ufffd/train-images-idx3-ubyte")
