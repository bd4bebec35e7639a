import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from rich.text import Text
from typer.testing import CliRunner

from app.cli import training
from app.cli.commands import cli
from models.checkpoint import load_checkpoint
from models.data import load_mnist, write_idx
from tests.models.training.recipes import write_recipe
from tests.processes import Finished, run_reparam

EPOCH = re.compile(
    r"epoch (\d+)/2  -ELBO ([\d.]+) nats \(log p\(x\|z\) (-[\d.]+), KL ([\d.]+)\)"
    r"  validation -ELBO ([\d.]+), best in epoch \d  ([\d,]+) images/s"
)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recipe(tmp_path_factory.mktemp("recipe") / "tiny.toml", training__epochs=2)


@pytest.fixture(scope="module")
def trained(recipe: Path, mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Finished, Path]:
    """A finished run: how the command ended, and the run's folder."""
    out = tmp_path_factory.mktemp("trained") / "run"
    return train(recipe, mnist, out), out


def train(recipe: Path, data: Path, out: Path, *options: str) -> Finished:
    output = out.parent / f"{out.name}.output"
    output.mkdir(exist_ok=True)
    arguments = ["train", str(recipe), "--data", str(data), "--out", str(out), "--threads", "1", *options]
    return run_reparam(arguments, output)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def error(end: Finished) -> str:
    """What a command said that failed as it should: in one line, without a traceback."""
    assert (end.status, end.stdout) == (1, ""), end
    (line,) = end.stderr.splitlines()
    assert line.startswith("error: ")
    return line.removeprefix("error: ")


def test_help_has_an_example() -> None:
    result = CliRunner().invoke(cli, ["train", "--help"])
    assert result.exit_code == 0
    example = "Example: reparam train models/recipes/mnist-mlp.toml"
    assert example in " ".join(Text.from_ansi(result.stdout).plain.split())


def test_train_leaves_a_checkpoint_and_says_where(trained: tuple[Finished, Path]) -> None:
    end, out = trained
    assert end.status == 0
    checkpoint = load_checkpoint(out / "checkpoint")
    best = checkpoint.config.metrics["validation_negative_elbo_nats"]
    assert end.stdout == f"{out}/checkpoint: the weights of epoch 2, validation -ELBO {best:.2f} nats\n"
    expected = {"images": 1900, "validation_images": 100, "threads": 1}
    assert expected.items() <= checkpoint.config.training.items()
    assert "not MNIST's own file" in checkpoint.config.training["data"]  # of which it is a part
    assert "data_licence" not in checkpoint.config.training


def test_without_a_terminal_there_is_a_line_an_epoch(trained: tuple[Finished, Path]) -> None:
    end, out = trained
    recorded = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    said = end.stderr.splitlines()
    assert len(said) == len(recorded) == 2
    for epoch, (line, figures) in enumerate(zip(said, recorded, strict=True), 1):
        match = EPOCH.fullmatch(line)
        assert match, line
        keys = ("negative_elbo", "log_likelihood", "kl", "validation_negative_elbo", "images_per_s")
        told = [float(group.replace(",", "")) for group in match.groups()]
        assert told == pytest.approx([epoch, *(figures[key] for key in keys)], abs=0.51)


def test_a_run_is_not_begun_over_another(trained: tuple[Finished, Path], recipe: Path, mnist: Path) -> None:
    _, out = trained
    before = files(out)
    assert error(train(recipe, mnist, out)).startswith(f"{out} holds a run already, at epoch 2 of 2: go on with --resu")
    assert files(out) == before


def test_resuming_a_finished_run_says_so_and_changes_nothing(
    trained: tuple[Finished, Path], recipe: Path, mnist: Path
) -> None:
    _, out = trained
    before = files(out)
    end = train(recipe, mnist, out, "--resume")
    assert end.status == 0
    assert end.stderr == f"{out}: this run was finished before; nothing was changed\n"
    assert end.stdout == trained[0].stdout
    assert files(out) == before


def test_resuming_another_recipe_or_other_data_names_the_difference(
    trained: tuple[Finished, Path], recipe: Path, mnist: Path, tmp_path: Path
) -> None:
    _, out = trained
    before = files(out)
    other = write_recipe(tmp_path / "other.toml", training__epochs=2, training__batch_size=25)
    assert "training.batch_size: began with 50, now 25" in error(train(other, mnist, out, "--resume"))
    data = shutil.copytree(mnist, tmp_path / "mnist")
    images = load_mnist(mnist, "train").images.copy()
    images[0] = 0
    (data / "train-images-idx3-ubyte.gz").unlink()
    write_idx(data / "train-images-idx3-ubyte", images)
    assert "expected the images the run began with, sha256 " in error(train(recipe, data, out, "--resume"))
    assert files(out) == before


def test_a_damaged_state_is_named(trained: tuple[Finished, Path], recipe: Path, mnist: Path, tmp_path: Path) -> None:
    out = shutil.copytree(trained[1], tmp_path / "run")
    path = out / "state.safetensors"
    path.write_bytes(path.read_bytes()[:2000])
    assert error(train(recipe, mnist, out, "--resume")).startswith(f"{path}: expected the state of a training run: ")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"training__speed": 3}, "training.speed: extra inputs are not permitted"),
        ({"training__batch_size": 1901}, "training.batch_size: expected at most the 1900 digits"),
        (
            {"data__validation": 2000},
            "data.validation: expected to leave at least 2 of the 2000 digits for training, found 2000",
        ),
        ({"model__input_shape": [3, 8, 8]}, "model.input_shape: expected the digits' [1, 28, 28], found [3, 8, 8]"),
    ],
)
def test_a_recipe_that_cannot_be_is_named(tmp_path: Path, mnist: Path, changes: dict[str, Any], expected: str) -> None:
    path = write_recipe(tmp_path / "bad.toml", **changes)
    assert error(train(path, mnist, tmp_path / "run")).startswith(f"{path}: {expected}")


def test_without_data_the_error_says_how_to_get_it(recipe: Path, tmp_path: Path) -> None:
    said = error(train(recipe, tmp_path / "none", tmp_path / "run"))
    assert f"`reparam data fetch --to {tmp_path / 'none'}`" in said


def test_a_loss_that_is_not_finite_stops_and_leaves_the_checkpoint(tmp_path: Path, mnist: Path) -> None:
    changes = {"data__validation": 0, "training__batch_size": 2000, "training__epochs": 9}
    wild = write_recipe(tmp_path / "wild.toml", training__learning_rate=1e20, **changes)
    end = train(wild, mnist, tmp_path / "run")
    *epochs, last = end.stderr.splitlines()
    assert (end.status, end.stdout) == (1, "")
    assert all(line.startswith("epoch ") for line in epochs)
    assert re.match(r"error: the loss is (nan|-?inf), not finite at step \d+ \(epoch \d+\): try a lower", last)
    assert load_checkpoint(tmp_path / "run" / "checkpoint").config.training["epochs"] == len(epochs)


def test_the_commit_is_the_programs_own_and_not_that_of_who_installed_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", str(tmp_path))
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "one"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    for root, expected in ((tmp_path, head), (tmp_path / ".venv" / "lib", None)):
        (root / "app" / "cli").mkdir(parents=True)
        monkeypatch.setattr(training, "__file__", str(root / "app" / "cli" / "training.py"))
        assert training._commit() == expected
