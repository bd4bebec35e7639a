import hashlib
import json
import os
import pickle
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from models import checkpoint as checkpoint_module
from models.card import render_card
from models.checkpoint import load_checkpoint, read_config, save_checkpoint, update_checkpoint
from models.errors import CheckpointError
from models.files import ZOO
from tests.models.tiny import CONFIG, binary_images, save_tiny, tiny
from tests.processes import start_writer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_tiny(tmp_path / "tiny", validation_negative_elbo_nats=123.5)
    return tmp_path / "tiny"


def put_weights(folder: Path, tensors: dict[str, torch.Tensor] | bytes) -> None:
    """Other weights, of which config.json states the right hash."""
    path = folder / "model.safetensors"
    if isinstance(tensors, bytes):
        path.write_bytes(tensors)
    else:
        save_file(tensors, path)
    edit(folder, "weights", sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def edit(folder: Path, *keys: str, **changes: Any) -> None:
    """Change what config.json says under `keys`."""
    document = json.loads((folder / "config.json").read_text())
    part = document
    for key in keys:
        part = part[key]
    part.update(changes)
    (folder / "config.json").write_text(json.dumps(document))


def message(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(folder)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_what_was_saved_is_what_is_loaded_to_the_bit(folder: Path) -> None:
    model, checkpoint = tiny(), load_checkpoint(folder)
    assert checkpoint.name == "tiny"
    assert checkpoint.config.model == CONFIG
    loaded = checkpoint.model.state_dict()
    assert loaded.keys() == model.state_dict().keys()
    for key, tensor in model.state_dict().items():
        assert loaded[key].dtype == tensor.dtype
        assert loaded[key].numpy().tobytes() == tensor.numpy().tobytes()
    x = binary_images()
    for mine, theirs in zip(model.encode(x), checkpoint.model.encode(x), strict=True):
        assert mine is not None
        assert theirs is not None
        assert torch.equal(mine, theirs)
    assert torch.equal(model.decode(torch.ones(2, 4)), checkpoint.model.decode(torch.ones(2, 4)))


def test_a_loaded_model_is_for_use_not_for_training(folder: Path) -> None:
    model = load_checkpoint(folder).model
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert {parameter.device.type for parameter in model.parameters()} == {"cpu"}


def test_loading_and_saving_again_gives_the_same_files(folder: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(folder)
    config, tensors = checkpoint.config, checkpoint.model.state_dict()
    save_checkpoint(tmp_path / "again", config.name, config.model, tensors, config.training, config.metrics)
    for path in folder.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]


def _without(t: dict[str, torch.Tensor], key: str) -> dict[str, torch.Tensor]:
    return {k: v for k, v in t.items() if k != key}


BIAS = "decoder.layers.1.bias"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda t: _without(t, BIAS), f"missing tensor {BIAS}"),
        (lambda t: {**t, "extra": torch.zeros(2)}, "unexpected tensor extra"),
        (
            lambda t: {**t, BIAS: torch.zeros(783)},
            f"tensor {BIAS}: expected torch.float32 or torch.float16 (784,), found torch.float32 (783,)",
        ),
        (
            lambda t: {**t, BIAS: t[BIAS].bfloat16()},
            f"tensor {BIAS}: expected torch.float32 or torch.float16 (784,), found torch.bfloat16 (784,)",
        ),
        (lambda t: {**t, BIAS: t[BIAS] * torch.nan}, f"tensor {BIAS}: expected finite numbers, found NaN or infinity"),
        (lambda t: {**t, BIAS: t[BIAS] / 0}, f"tensor {BIAS}: expected finite numbers, found NaN or infinity"),
    ],
)
def test_tensors_that_do_not_fit_are_named(folder: Path, change: Any, expected: str) -> None:
    put_weights(folder, change(load_file(folder / "model.safetensors")))
    assert message(folder) == f"{folder / 'model.safetensors'}: {expected}"


def test_weights_of_another_hash_are_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    found = hashlib.sha256(data).hexdigest()
    assert message(folder) == f"{path}: expected sha256 {right}, found {found}"


def test_a_name_of_two_lines_is_told_in_one(folder: Path) -> None:
    put_weights(folder, {**load_file(folder / "model.safetensors"), "two\nlines": torch.zeros(1)})
    assert message(folder).endswith("unexpected tensor two lines")


def _header(dtype: str, size: int) -> bytes:
    header = json.dumps({BIAS: {"dtype": dtype, "shape": [size], "data_offsets": [0, size]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(size)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"short",
        b"\xff" * 100,
        b"\x05" + b"\0" * 7 + b"hello",
        _header("NEW\nER", 4),
        _header("F8_E8M0", 4),
        _header("F32", 5),
        b"PK\x03\x04" + b"\0" * 60,
    ],
)
def test_what_is_not_a_safetensors_file_is_refused(folder: Path, data: bytes) -> None:
    put_weights(folder, data)
    assert message(folder).startswith(f"{folder / 'model.safetensors'}: not a safetensors file: ")


@pytest.mark.parametrize("kept", [4, 8, 100, 1000])
def test_a_truncated_safetensors_file_is_refused(folder: Path, kept: int) -> None:
    put_weights(folder, (folder / "model.safetensors").read_bytes()[:kept])
    assert message(folder).startswith(f"{folder / 'model.safetensors'}: not a safetensors file: ")


class _Attack:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("write", [lambda a, path: path.write_bytes(pickle.dumps(a)), torch.save])
def test_a_pickle_is_never_run(folder: Path, tmp_path: Path, write: Any) -> None:
    mark = tmp_path / "mark"
    write(_Attack(mark), folder / "model.safetensors")
    assert "expected sha256" in message(folder)
    put_weights(folder, (folder / "model.safetensors").read_bytes())  # now with the right hash
    assert "not a safetensors file" in message(folder)
    assert not mark.exists()
    with (folder / "model.safetensors").open("rb") as file:  # and it is an attack indeed
        torch.load(file, weights_only=False) if write is torch.save else pickle.load(file)
    assert mark.exists()


def test_a_file_that_is_missing_is_named(folder: Path) -> None:
    for name in ("model.safetensors", "config.json"):
        (folder / name).unlink()
        assert message(folder) == f"{folder / name}: expected a file of the checkpoint: No such file or directory"


def test_a_folder_that_is_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert message(tmp_path / "file") == f"{tmp_path / 'file'}: expected a checkpoint folder, found a file"
    assert message(tmp_path / "none") == f"{tmp_path / 'none'}: expected a checkpoint folder, found nothing"
    assert "zoo/nobody: expected a checkpoint folder, found nothing; shipped are mnist-2d, " in message(ZOO / "nobody")
    assert "found nothing" in message(tmp_path / ("x" * 300))  # longer than a name may be


def test_new_metrics_leave_the_weights_and_what_training_measured(folder: Path) -> None:
    before, measured = (folder / "model.safetensors").read_bytes(), read_config(folder).weights.sha256
    update_checkpoint(folder, measured, metrics={"test_nll_nats": 99.25})
    assert (folder / "model.safetensors").read_bytes() == before
    config = load_checkpoint(folder).config
    assert config.metrics == {"validation_negative_elbo_nats": 123.5, "test_nll_nats": 99.25}
    assert (folder / "README.md").read_text() == render_card(config)
    assert "99.25" in render_card(config)
    update_checkpoint(folder, measured, metrics={"active_units": 3})
    metrics = load_checkpoint(folder).config.metrics  # of one evaluation, not of two
    assert metrics == {"validation_negative_elbo_nats": 123.5, "active_units": 3}
    update_checkpoint(folder, measured)
    assert load_checkpoint(folder).config.metrics == metrics


def test_what_else_lies_in_the_folder_stays(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_text("mine too")
    (folder / "map.safetensors").write_text("of weights that are gone")
    update_checkpoint(folder, read_config(folder).weights.sha256, metrics={"active_units": 3})
    save_tiny(folder, seed=1)
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / "onnx" / "model.onnx").read_text() == "mine too"
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "notes.txt",
        "onnx",
    ]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_nothing_measured_is_written_beside_other_weights(folder: Path) -> None:
    measured = read_config(folder).weights.sha256
    save_tiny(folder, seed=1)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(CheckpointError, match=f"that were measured, sha256 {measured}, found .*exchanged meanwhile"):
        update_checkpoint(folder, measured, metrics={"active_units": 3})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def _save_for_ever(folder: Path) -> None:
    while True:
        for seed in (0, 1):
            save_tiny(folder, seed)
            update_checkpoint(folder, read_config(folder).weights.sha256, metrics={"seed": seed})


def test_a_process_killed_while_saving_leaves_a_checkpoint(folder: Path) -> None:
    random = Random(0)
    models = [tiny(seed=seed) for seed in (0, 1)]
    for _ in range(10):
        process = start_writer(_save_for_ever, folder, folder)
        time.sleep(random.uniform(0, 0.2))
        process.kill()
        process.join()
        checkpoint = load_checkpoint(folder)
        expected = models[checkpoint.config.training["seed"]].state_dict()
        assert all(torch.equal(expected[key], t) for key, t in checkpoint.model.state_dict().items())
        assert (folder / "README.md").read_text() == render_card(read_config(folder))


def test_a_checkpoint_that_is_exchanged_while_it_is_read_is_read_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = save_tiny(tmp_path / "other", seed=1)
    read, exchanged = checkpoint_module.read_outline, []

    def exchange(place: Path) -> Any:
        outline = read(place)
        if not exchanged:
            exchanged.append(True)
            save_tiny(place, seed=1)
        return outline

    monkeypatch.setattr(checkpoint_module, "read_outline", exchange)
    found = load_checkpoint(folder)
    for key, tensor in other.state_dict().items():
        assert torch.equal(found.model.state_dict()[key], tensor)
    assert found.config == read_config(folder)
