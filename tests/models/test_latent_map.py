"""`map.safetensors`, the codes of test digits beside a checkpoint's weights."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from models.card import render_card
from models.checkpoint import LatentMap, load_checkpoint, read_config, update_checkpoint
from models.config import Novelty
from models.errors import CheckpointError
from tests.models.tiny import save_tiny

COUNT, LATENTS = 20, 4
NOVELTY = Novelty(images=7, draws=8, quantiles=(1.0, 2.5))


@pytest.fixture
def drawn() -> LatentMap:
    random = np.random.default_rng(0)
    labels = random.integers(0, 10, COUNT).astype(np.uint8)
    return LatentMap(random.standard_normal((COUNT, LATENTS)).astype(np.float16), labels)


@pytest.fixture
def folder(tmp_path: Path, drawn: LatentMap) -> Path:
    save_tiny(tmp_path / "tiny", validation_negative_elbo_nats=123.5)
    update_checkpoint(tmp_path / "tiny", read_config(tmp_path / "tiny").weights.sha256, latent_map=drawn)
    return tmp_path / "tiny"


def message(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(folder)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def put(folder: Path, arrays: dict[str, Any]) -> Path:
    """Another map, of which config.json states the right hash."""
    path = folder / "map.safetensors"
    save_file(arrays, path)
    document = json.loads((folder / "config.json").read_text())
    document["map"]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "config.json").write_text(json.dumps(document))
    return path


def test_a_map_is_loaded_as_it_was_saved(folder: Path, drawn: LatentMap) -> None:
    loaded = load_checkpoint(folder).map
    assert loaded is not None
    for mine, theirs in zip(drawn, loaded, strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "config.json",
        "map.safetensors",
        "model.safetensors",
    ]


def test_a_checkpoint_may_have_none(tmp_path: Path) -> None:
    save_tiny(tmp_path / "tiny")
    assert load_checkpoint(tmp_path / "tiny").map is None


def test_what_is_not_told_to_change_is_kept(folder: Path, drawn: LatentMap) -> None:
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    before = read_config(folder)

    update_checkpoint(folder, before.weights.sha256, novelty=NOVELTY)
    update_checkpoint(folder, before.weights.sha256, metrics={"test_nll_nats": 99.25})
    after = read_config(folder)
    metrics = {"validation_negative_elbo_nats": 123.5, "test_nll_nats": 99.25}
    assert after == before.model_copy(update={"novelty": NOVELTY, "metrics": metrics})
    for name in ("map.safetensors", "model.safetensors"):
        assert (folder / name).read_bytes() == files[name]

    other = LatentMap(drawn.mean[:5] + 1, drawn.labels[:5])
    update_checkpoint(folder, before.weights.sha256, latent_map=other)
    assert read_config(folder) == after.model_copy(update={"map": read_config(folder).map})
    loaded = load_checkpoint(folder).map
    assert loaded is not None
    np.testing.assert_array_equal(loaded.mean, other.mean)
    assert (folder / "README.md").read_text() == render_card(read_config(folder))


def test_a_map_of_another_hash_is_refused(folder: Path) -> None:
    path = folder / "map.safetensors"
    right = read_config(folder).map
    assert right is not None
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert message(folder) == f"{path}: expected sha256 {right.sha256}, found {hashlib.sha256(data).hexdigest()}"


def test_a_map_that_is_missing_is_named(folder: Path) -> None:
    (folder / "map.safetensors").unlink()
    assert message(folder).startswith(f"{folder / 'map.safetensors'}: expected a file of the checkpoint: No such file")


def test_a_map_that_is_no_safetensors_file_is_named(folder: Path) -> None:
    path = put(folder, load_file(folder / "map.safetensors"))
    path.write_bytes(b"short")
    document = json.loads((folder / "config.json").read_text())
    document["map"]["sha256"] = hashlib.sha256(b"short").hexdigest()
    (folder / "config.json").write_text(json.dumps(document))
    assert message(folder).startswith(f"{path}: not a safetensors file: ")


@pytest.mark.parametrize(
    "change",
    [
        lambda mean, labels: {"mean": mean.astype(np.float32), "labels": labels},
        lambda mean, labels: {"mean": mean, "labels": labels.astype(np.int64)},
        lambda mean, labels: {"mean": mean[:, :3], "labels": labels},
        lambda mean, labels: {"mean": mean[:-1], "labels": labels},
        lambda mean, labels: {"mean": mean, "labels": labels[:, None]},
        lambda mean, _: {"mean": mean[:1], "labels": np.array(7, np.uint8)},
        lambda mean, labels: {"mean": mean, "labels": labels, "extra": labels},
        lambda mean, _: {"mean": mean},
        lambda _, labels: {"labels": labels},
        lambda *_: {},
        lambda mean, labels: {"mean": mean * np.float16(np.nan), "labels": labels},
        lambda mean, labels: {"mean": np.full_like(mean, np.inf), "labels": labels},
    ],
)
def test_a_map_that_does_not_fit_is_named(folder: Path, drawn: LatentMap, change: Any) -> None:
    path = put(folder, change(drawn.mean, drawn.labels))
    expected = f"{path}: expected finite mean float16 (N, {LATENTS}) and labels uint8 (N,), found {{"
    assert message(folder).startswith(expected)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"file": "../map"}, "map.file: input should be 'map.safetensors'"),
        ({"sha256": "abc"}, "map.sha256: string should match pattern"),
    ],
)
def test_what_config_says_of_it_is_checked(folder: Path, changes: dict[str, str], expected: str) -> None:
    document = json.loads((folder / "config.json").read_text())
    document["map"] |= changes
    (folder / "config.json").write_text(json.dumps(document))
    assert message(folder).startswith(f"{folder / 'config.json'}: {expected}")
