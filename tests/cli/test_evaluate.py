import errno
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.text import Text
from typer.testing import CliRunner

from app.cli.commands import cli
from models.checkpoint import load_checkpoint, save_checkpoint
from models.config import ModelConfig
from models.data import SHA256, load_mnist, write_idx
from models.data.unpacked import sha256_unpacked
from models.kinds import build
from models.novelty import fit_novelty
from models.vae import VAE
from tests.cli.test_training import error, files
from tests.processes import Finished, run_reparam, start_reparam


def save(folder: Path, latents: int = 4, mnist: Path | None = None) -> Path:
    """An untrained model as a checkpoint; with quantiles of its surprise at training digits, if there are any."""
    config = ModelConfig.model_validate(
        {
            "kind": "vae",
            "architecture": {"encoder": [16], "latents": latents, "decoder": [16]},
            "likelihood": {"kind": "bernoulli"},
        }
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build(config).requires_grad_(False)
    novelty = None
    if mnist:
        digits = load_mnist(mnist, "train").images[:100]
        novelty = fit_novelty(model, torch.from_numpy(digits.reshape(100, -1)).float() / 255)
    save_checkpoint(folder, "tiny", config, model.state_dict(), {}, {}, novelty)
    return folder


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return save(tmp_path / "checkpoint")


def evaluate(checkpoint: Path, data: Path, output: Path, *options: str, file_bytes: int | None = None) -> Finished:
    output.mkdir(exist_ok=True)
    return run_reparam(["evaluate", str(checkpoint), "--data", str(data), *options], output, file_bytes)


def test_help_has_an_example() -> None:
    result = CliRunner().invoke(cli, ["evaluate", "--help"])
    assert result.exit_code == 0
    assert "Example: reparam evaluate runs/" in " ".join(Text.from_ansi(result.stdout).plain.split())


def test_figures_that_the_seed_decides(checkpoint: Path, mnist: Path, tmp_path: Path) -> None:
    before = files(checkpoint)
    ends = [evaluate(checkpoint, mnist, tmp_path / "o", "--samples", "2", "--seed", seed) for seed in ("1", "1", "2")]
    assert [(end.status, end.stderr) for end in ends] == [(0, "")] * 3
    figures, again, other = (json.loads(end.stdout) for end in ends)
    assert figures.keys() == again.keys() == other.keys()
    for name in ("test_negative_elbo_nats", "test_nll_nats"):  # several threads round now so, now so
        assert figures[name] == pytest.approx(again[name], rel=5e-6) != other[name]
    numbers = (value for value in figures.values() if isinstance(value, int | float))
    assert all(map(math.isfinite, [*numbers, *figures["test_kl_by_latent_nats"]]))
    assert (figures["test_images"], figures["nll_samples"], figures["evaluation_seed"]) == (1000, 2, 1)
    assert figures["test_nll_nats"] <= figures["test_negative_elbo_nats"]
    assert files(checkpoint) == before


def test_out_and_update_write_a_report_the_card_and_a_map(mnist: Path, tmp_path: Path) -> None:
    checkpoint, out = save(tmp_path / "checkpoint", 2, mnist), tmp_path / "report"
    weights = (checkpoint / "model.safetensors").read_bytes()
    options = ("--samples", "2", "--update", "--out", str(out), "--unlike", str(mnist), "--precision", "bfloat16")
    end = evaluate(checkpoint, mnist, tmp_path / "o", *options)
    assert (end.status, end.stderr) == (0, "")
    figures = json.loads(end.stdout)
    expected = f"`{mnist.name}/t10k-images-idx3-ubyte.gz`, which is not MNIST's own file of 10,000 digits"
    assert figures["test_data"] == expected  # of which it is a part
    assert figures["unlike"] == mnist.name and figures["nll_precision"] == "bfloat16"
    assert figures["novelty_auroc_unlike"] == pytest.approx(0.5)  # which are the same digits
    assert json.loads((out / "figures.json").read_text()) == figures
    assert {"report.md", "samples.png", "latents.png"} <= {path.name for path in out.iterdir()}
    after = load_checkpoint(checkpoint)
    assert after.config.metrics == figures
    assert (checkpoint / "model.safetensors").read_bytes() == weights
    assert f"{figures['test_nll_nats']:.5g} |" in (checkpoint / "README.md").read_text()
    digits = load_mnist(mnist, "test")
    assert after.map is not None and np.array_equal(after.map.labels, digits.labels)
    codes = after.model.encode(torch.from_numpy(digits.images.reshape(-1, 784)).float() / 255).mean
    np.testing.assert_allclose(after.map.mean, codes, atol=1e-2)


def test_the_folder_at_hand_has_a_name_and_a_run_around_it(mnist: Path, tmp_path: Path) -> None:
    checkpoint = save(tmp_path / "checkpoint", mnist=mnist)
    for file in mnist.glob("*.gz"):
        (checkpoint / file.name).symlink_to(file)
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1, "negative_elbo": 200.0}\n')
    (tmp_path / "o").mkdir()
    options = ["--data", ".", "--unlike", ".", "--samples", "1", "--out", "../report", "--update"]
    end = run_reparam(["evaluate", ".", *options], tmp_path / "o", folder=checkpoint)
    assert (end.status, end.stderr) == (0, "")
    assert load_checkpoint(checkpoint).config.metrics["unlike"] == "checkpoint"
    assert (tmp_path / "report" / "training.png").is_file()


def test_figures_of_mnists_own_digits_need_no_name(
    checkpoint: Path, mnist: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "t10k-images-idx3-ubyte"
    monkeypatch.setitem(SHA256, name, sha256_unpacked(mnist / f"{name}.gz"))
    end = CliRunner().invoke(cli, ["evaluate", str(checkpoint), "--data", str(mnist), "--samples", "1"])
    assert end.exit_code == 0 and "test_data" not in json.loads(end.stdout)


def test_codes_that_a_map_cannot_hold_are_told_and_the_figures_kept(mnist: Path, tmp_path: Path) -> None:
    config = ModelConfig.model_validate(
        {
            "kind": "ae",
            "architecture": {"encoder": [], "latents": 2, "decoder": []},
            "likelihood": {"kind": "gaussian", "sigma": 0.5},
        }
    )
    tensors = build(config).state_dict()
    tensors["encoder.layers.0.weight"] *= 1e7
    checkpoint = tmp_path / "checkpoint"
    save_checkpoint(checkpoint, "far", config, tensors, {}, {})
    end = evaluate(checkpoint, mnist, tmp_path / "o", "--update")
    assert end.status == 0
    assert end.stderr.startswith("no map is kept: expected codes up to 65504, which float16 holds, found ")
    after = load_checkpoint(checkpoint)
    assert after.map is None and after.config.metrics == json.loads(end.stdout)


def test_update_that_cannot_be_written_prints_the_figures_and_leaves_the_checkpoint(
    checkpoint: Path, mnist: Path, tmp_path: Path
) -> None:
    before = files(tmp_path)
    end = evaluate(checkpoint, mnist, tmp_path.parent / "o", "--samples", "1", "--update", file_bytes=10_000)
    assert end.status == 1
    assert json.loads(end.stdout)["nll_samples"] == 1
    assert end.stderr.splitlines()[-1].startswith(f"error: {checkpoint}: cannot be written, and is as it was: ")
    assert "Traceback" not in end.stderr
    assert files(tmp_path) == before


def test_what_cannot_be_printed_is_in_the_checkpoint_and_the_report(
    checkpoint: Path, mnist: Path, tmp_path: Path
) -> None:
    output, out = tmp_path / "o", tmp_path / "report"
    output.mkdir()
    (output / "stdout").symlink_to("/dev/full")
    arguments = ["evaluate", str(checkpoint), "--data", str(mnist), "--samples", "1", "--update", "--out", str(out)]
    process = start_reparam(arguments, output)
    process.join()
    assert process.exitcode == 1
    assert load_checkpoint(checkpoint).config.metrics == json.loads((out / "figures.json").read_text())


def test_all_of_the_outputs_are_tried_and_what_failed_is_told(
    checkpoint: Path, mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    out = tmp_path / "report"
    arguments = ["evaluate", str(checkpoint), "--data", str(mnist), "--samples", "1", "--update", "--out", str(out)]
    monkeypatch.setattr("models.checkpoint.write_folder_atomically", full)
    end = CliRunner().invoke(cli, arguments)
    assert str(end.exception) == f"{checkpoint}: cannot be written, and is as it was: No space left on device"
    figures = (out / "figures.json").read_text()
    assert json.loads(figures) == json.loads(end.stdout)
    monkeypatch.setattr("models.evaluation.report.write_atomically", full)
    end = CliRunner().invoke(cli, arguments)
    assert str(end.exception) == (
        f"{out}: the report cannot be written: No space left on device; "
        f"{checkpoint}: cannot be written, and is as it was: No space left on device"
    )
    assert "test_nll_nats" in json.loads(end.stdout)


def test_a_checkpoint_that_cannot_be_written_is_told_before_anything_is_measured(mnist: Path, tmp_path: Path) -> None:
    checkpoint = save(tmp_path / "short").rename(tmp_path / ("long" * 60))  # no name longer than it can lie beside it
    said = error(evaluate(checkpoint, mnist, tmp_path / "o", "--samples", "1", "--update"))
    assert said == f"{checkpoint}: cannot be written: File name too long"


def test_what_cannot_be_measured_is_told_first(checkpoint: Path, mnist: Path, tmp_path: Path) -> None:
    output = tmp_path / "o"
    said = error(evaluate(tmp_path / "none", mnist, output))
    assert said == f"{tmp_path / 'none'}: expected a checkpoint folder, found nothing"
    assert "`reparam data fetch" in error(evaluate(checkpoint, tmp_path, output))
    said = error(evaluate(checkpoint, mnist, output, "--unlike", str(mnist)))
    assert said == f"{checkpoint}: --unlike expects novelty quantiles, found none: no digits were held out"
    file = checkpoint / "README.md"
    said = error(evaluate(checkpoint, mnist, output, "--out", str(file)))
    assert said == f"{file}: expected a folder for the report, found a file"
    assert f"{file / 'report'}: expected a folder for the report: " in error(
        evaluate(checkpoint, mnist, output, "--out", str(file / "report"))
    )
    (checkpoint / "model.safetensors").write_bytes(b"damaged")
    assert error(evaluate(checkpoint, mnist, output)).startswith(f"{checkpoint}/model.safetensors: expected sha256 ")


def _save(folder: Path, scale: float, shape: tuple[int, int, int] = (1, 28, 28)) -> Path:
    config = ModelConfig.model_validate(
        {
            "kind": "vae",
            "input_shape": shape,
            "architecture": {"encoder": [], "latents": 2, "decoder": []},
            "likelihood": {"kind": "bernoulli"},
        }
    )
    tensors = {key: torch.full_like(t, scale) for key, t in VAE.from_config(config).state_dict().items()}
    save_checkpoint(folder, "odd", config, tensors, {}, {})
    return folder


def test_evaluate_never_prints_figures_that_are_not_finite(tmp_path: Path, mnist: Path) -> None:
    checkpoint = _save(tmp_path / "odd", float(np.float32(1e38)))
    end = evaluate(checkpoint, mnist, tmp_path, "--samples", "1", "--update")
    assert (end.status, end.stdout) == (1, "")
    assert end.stderr.splitlines()[-1].startswith(f"error: {checkpoint}: codes: expected finite numbers, found ")
    assert load_checkpoint(checkpoint).config.metrics == {}


def test_evaluate_of_a_model_of_other_images(tmp_path: Path, mnist: Path) -> None:
    end = evaluate(_save(tmp_path / "odd", 0.0, (1, 32, 32)), mnist, tmp_path)
    assert end.status == 1
    assert "error: expected images of 1024 pixels, which the model takes, found 784\n" in end.stderr
    assert "Traceback" not in end.stderr


def _part(mnist: Path, folder: Path, train: slice, test: slice) -> Path:
    folder.mkdir()
    for split, rows, images_file, labels_file in (
        ("train", train, "train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
        ("test", test, "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
    ):
        digits = load_mnist(mnist, split)
        order = digits.labels.argsort(kind="stable")  # the zeros first
        write_idx(folder / images_file, digits.images[order][rows])
        write_idx(folder / labels_file, digits.labels[order][rows])
    return folder


@pytest.mark.parametrize(
    ("train", "test", "expected"),
    [
        (slice(1), slice(9), "expected at least 2 training digits, found 1"),
        (slice(0, None, 150), slice(1), "expected at least 2 test digits, found 1"),
    ],
)
def test_too_few_digits_to_measure_by_are_told(
    checkpoint: Path, mnist: Path, tmp_path: Path, train: slice, test: slice, expected: str
) -> None:
    said = error(evaluate(checkpoint, _part(mnist, tmp_path / "few", train, test), tmp_path / "o", "--samples", "1"))
    assert said.startswith(expected)


@pytest.mark.parametrize("train", [slice(9), slice(0, 600, 150)], ids=["of one sort", "four"])
def test_where_digits_cannot_be_told_apart_the_rest_is_measured(
    checkpoint: Path, mnist: Path, tmp_path: Path, train: slice
) -> None:
    few = _part(mnist, tmp_path / "few", train, slice(9))
    end = evaluate(checkpoint, few, tmp_path / "o", "--samples", "2", "--out", str(tmp_path / "report"))
    assert end.status == 0, end.stderr
    figures = json.loads((tmp_path / "report" / "figures.json").read_text())
    assert figures.keys() >= {"test_nll_nats", "fid", "fid_floor", "reconstruction_mse", "training_digits_used"}
    assert not [name for name in figures if "accuracy" in name]


def test_a_few_digits_give_a_report(checkpoint: Path, mnist: Path, tmp_path: Path) -> None:
    few = _part(mnist, tmp_path / "few", slice(0, None, 150), slice(0, None, 350))
    assert len(load_mnist(few, "test").images) % 2  # one has none to be interpolated with
    end = evaluate(checkpoint, few, tmp_path / "o", "--samples", "1", "--out", str(tmp_path / "report"))
    assert end.status == 0, end.stderr
    assert (tmp_path / "report" / "interpolations.png").is_file()
