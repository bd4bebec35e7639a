"""`reparam encode`, `decode` and `sample`: the service's answers, on files."""

import json
import os
import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file
from starlette.testclient import TestClient

from app.cli import files, progress_bar
from app.cli.doctor import doctor
from app.main import create_app
from app.settings import Settings, shipped
from models.checkpoint import load_checkpoint, save_checkpoint
from models.errors import InputError
from tests.conftest import ROOT
from tests.processes import run_reparam, start_reparam

SEVEN = ROOT / "app" / "web" / "seven.png"


def reparam(*arguments: object, cwd: Path, status: int = 0) -> str:
    """What a command prints: on stdout if it should succeed, else its one line on stderr."""
    end = run_reparam([str(argument) for argument in arguments], output=cwd, folder=cwd)
    assert end.status == status, end.stderr
    if status:
        assert end.stderr.startswith("error: ") and end.stderr.count("\n") == 1, end.stderr
    return end.stderr if status else end.stdout


def test_the_files_hold_what_the_service_answers(tmp_path: Path) -> None:
    reparam("encode", SEVEN, SEVEN, "--out", "codes.json", cwd=tmp_path)
    reparam("decode", "codes.json", "--out", "again.png", cwd=tmp_path)
    told = reparam("sample", "--count", 16, "--seed", 7, "--out", "digits.png", cwd=tmp_path)
    assert told == "digits.png: 16 images, seed 7\n"
    with TestClient(create_app(Settings())) as client:
        files = [("images", SEVEN.read_bytes())] * 2
        codes = client.post("/v1/encode", files=files).json()
        weights = {"sha256": client.get("/v1/models").json()["models"][0]["sha256"]}
        assert json.loads((tmp_path / "codes.json").read_text()) == codes | weights
        again = client.post("/v1/decode", json={"latents": codes["mean"]})
        assert (tmp_path / "again.png").read_bytes() == again.content
        assert (tmp_path / "digits.png").read_bytes() == client.get("/v1/sample?count=16&seed=7").content


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize(
    "arguments",
    [
        ["encode", str(SEVEN), "--out", "codes.json"],
        ["sample", "--out", "digits.png"],
        ["data", "info", str(ROOT / "tests" / "data" / "mnist")],
        ["doctor", "--json"],  # which is longer than what is kept back
        ["--help"],
        ["--version"],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_output_that_cannot_be_written_is_one_line(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "stdout").symlink_to("/dev/full")
    process = start_reparam(arguments, output=tmp_path, folder=tmp_path)
    process.join()
    assert process.exitcode == 1
    expected = "error: standard output: cannot be written: No space left on device\n"
    assert (tmp_path / "stderr").read_text() == expected


def test_a_reader_that_goes_is_nothing_to_speak_of() -> None:
    read, write = os.pipe()
    os.close(read)
    end = subprocess.run(
        [Path(sys.executable).with_name("reparam"), "--version"], stdout=write, stderr=subprocess.PIPE, cwd=ROOT
    )
    os.close(write)
    assert (end.returncode, end.stderr) == (1, b"")


def test_every_form_of_numbers_decodes_alike(tmp_path: Path) -> None:
    for form in ("json", "npz", "safetensors"):
        reparam("encode", SEVEN, "--out", f"codes.{form}", cwd=tmp_path)
        reparam("decode", f"codes.{form}", "--out", f"{form}.npy", cwd=tmp_path)
    mean = load_file(tmp_path / "codes.safetensors")["mean"]
    np.save(tmp_path / "codes.npy", mean)
    reparam("decode", "codes.npy", "--out", "npy.npy", cwd=tmp_path)
    images = [np.load(tmp_path / f"{form}.npy") for form in ("json", "npz", "safetensors", "npy")]
    assert images[0].shape == (1, 28, 28) and images[0].dtype == np.float32
    for other in images[1:]:
        np.testing.assert_array_equal(other, images[0])


def test_what_takes_long_shows_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress_bar, "LONG_S", 0)
    monkeypatch.setenv("FORCE_COLOR", "1")  # what rich takes for a terminal
    monkeypatch.setenv("REPARAM_MODELS", "mnist-mlp")
    files.encode([SEVEN] * 3, tmp_path / "codes.json", "mnist-mlp")
    files.decode(tmp_path / "codes.json", tmp_path / "again.png", "mnist-mlp")
    files.sample(tmp_path / "digits.png", 5, model="mnist-mlp")
    doctor()
    err = capsys.readouterr().err
    told = re.findall(r"(\w+) \S+ +(\d+/\d+) ", re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", err))
    ends = [("read", "3/3"), ("encoded", "3/3"), ("decoded", "3/3"), ("drawn", "5/5"), ("decoded", "5/5")]
    assert list(dict.fromkeys(one for one in told if one in [*ends, ("models", "1/1")])) == [*ends, ("models", "1/1")]


def test_the_bar_goes_on_as_the_model_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, int, int]] = []
    monkeypatch.setattr(files, "LOOK_S", 0)
    monkeypatch.setattr(progress_bar.ProgressBar, "show", lambda _, *how_far: told.append(how_far))
    files.sample(tmp_path / "digits.npy", 10_000, model="mnist-mlp")
    for step in ("drawn", "decoded"):
        done = [done for what, done, total in told if what == step and total == 10_000]
        assert done == sorted(done) and done[-1] == 10_000
        assert len(set(done)) > 5, f"{step}: expected to be looked at between the passes, found {sorted(set(done))}"


def test_a_sheet_has_the_columns_and_the_scale(tmp_path: Path) -> None:
    reparam("sample", "--count", 6, "--columns", 3, "--scale", 4, cwd=tmp_path)
    with Image.open(tmp_path / "samples.png") as sheet:
        width, height = sheet.size
    assert width >= 3 * 28 * 4 > height >= 2 * 28 * 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("encode", "missing.png"), "missing.png: expected a file"),
        (("encode", "text.png"), "text.png: "),
        (("encode", SEVEN, "--out", "codes.csv"), "expected a name ending in .json, .npz, .safetensors, found .csv"),
        (("encode", SEVEN, "--out", "no/such/folder.json"), "no/such/folder.json: cannot be written"),
        (("encode", SEVEN, "--model", "nobody"), "nobody"),
        (("decode", "text.json"), "text.json: expected latent vectors"),
        (
            ("decode", "short.json", "--model", "mnist-mlp"),
            "short.json: expected latent vectors, N lists of 50 numbers: latents[0]",
        ),
        (("decode", "list.json"), 'expected an object with "mean" or "latents", found a list'),
        (("decode", "string.json"), 'expected an object with "mean" or "latents", found text'),
        (("decode", "none.json"), "none.json: expected at least one latent vector, found none"),
        (("decode", "nan.json"), "nan.json: expected latent vectors"),
        (("decode", "other.json"), "other.json: expected latent vectors"),
        (("decode", "pickle.npy"), "pickle.npy: expected latent vectors"),
        (("decode", "deep.json"), "deep.json: expected latent vectors"),
        (("decode", "huge.json"), "huge.json: expected latent vectors"),
        (("decode", "complex.npy"), "complex.npy: expected latent vectors"),
        (("decode", "larger-than-memory.npy"), "larger-than-memory.npy: expected latent vectors"),
        (
            ("decode", "archive.npy"),
            "archive.npy: expected latent vectors: expected mean or latents in it, found codes",
        ),
        (("sample", "--model", ""), "error: expected the name or the folder of a checkpoint, found an empty name"),
        (("sample", "--out", "digits.gif"), "expected a name ending in .png, .npy, found .gif"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, arguments: tuple[object, ...], words: str) -> None:
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "text.json").write_text("hello")
    (tmp_path / "short.json").write_text('{"latents": [[1, 2]]}')
    (tmp_path / "list.json").write_text("[[1, 2]]")
    (tmp_path / "string.json").write_text('"mean"')
    (tmp_path / "none.json").write_text('{"latents": []}')
    (tmp_path / "nan.json").write_text('{"latents": [[NaN]]}')
    (tmp_path / "other.json").write_text('{"codes": []}')
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "huge.json").write_text(json.dumps({"latents": [[10**400] * 50]}))
    header = {"descr": "<f4", "fortran_order": False, "shape": (10**12, 50)}
    with (tmp_path / "larger-than-memory.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
    np.savez(tmp_path / "archive.npz", codes=np.zeros((1, 50)))
    (tmp_path / "archive.npz").rename(tmp_path / "archive.npy")
    np.save(tmp_path / "complex.npy", np.zeros((1, 50), np.complex64))
    np.save(tmp_path / "pickle.npy", np.array([{}]), allow_pickle=True)
    assert words in reparam(*arguments, cwd=tmp_path, status=1)


@pytest.mark.parametrize(
    "command", ["serve", "doctor", "train", "evaluate", "encode", "decode", "sample", "data fetch", "data info"]
)
def test_every_command_has_help_with_an_example(tmp_path: Path, command: str) -> None:
    example = reparam(*command.split(), "--help", cwd=tmp_path).split("Example:")[1]
    assert f"reparam {command}" in example
    settings = {f"REPARAM_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"(\w+)=", example)) <= settings


def test_the_version_is_told(tmp_path: Path) -> None:
    assert reparam("--version", cwd=tmp_path).startswith("reparam ")


def test_a_command_that_needs_the_training_extra_says_so(tmp_path: Path, mnist: Path) -> None:
    program = "import sys; sys.modules['tensorboard'] = None; import app.cli; app.cli.main()"
    recipe = ROOT / "models" / "recipes" / "mnist-mlp.toml"
    command = [sys.executable, "-c", program, "train", recipe, "--data", mnist, "--out", tmp_path / "run"]
    end = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert end.returncode == 1 and end.stderr.count("\n") == 1
    assert "tensorboard is not installed" in end.stderr and ".[train]" in end.stderr


def test_damaged_latents_are_one_line(tmp_path: Path) -> None:
    random = Random(0)
    archive = BytesIO()
    np.savez_compressed(archive, mean=np.random.default_rng(0).standard_normal((2, 4), np.float32))
    sound, refused = archive.getvalue(), 0
    for _ in range(500):
        damaged = bytearray(sound)
        for _ in range(random.randint(1, 4)):
            damaged[random.randrange(len(damaged))] = random.randrange(256)
        (tmp_path / "codes.npz").write_bytes(damaged)
        try:
            assert files._read_codes(tmp_path / "codes.npz").numbers.shape
        except InputError as error:
            refused += 1
            assert "codes.npz: expected latent vectors: " in str(error)
    assert refused > 250


def test_whole_numbers_are_latents_too(tmp_path: Path) -> None:
    np.save(tmp_path / "codes.npy", np.arange(40).reshape(1, 40))
    np.save(tmp_path / "floats.npy", np.arange(40, dtype=np.float32).reshape(1, 40))
    for name in ("codes", "floats"):
        reparam("decode", f"{name}.npy", "--out", f"{name}-decoded.npy", cwd=tmp_path)
    np.testing.assert_array_equal(*(np.load(tmp_path / f"{name}-decoded.npy") for name in ("codes", "floats")))


@pytest.mark.parametrize("form", ["json", "npz", "safetensors"])
def test_codes_are_decoded_by_the_model_that_made_them(tmp_path: Path, form: str) -> None:
    reparam("encode", SEVEN, "--model", "mnist-2d", "--out", f"codes.{form}", cwd=tmp_path)
    reparam("decode", f"codes.{form}", "--out", "as-it-says.npy", cwd=tmp_path)
    reparam("decode", f"codes.{form}", "--out", "told.npy", "--model", "mnist-2d", cwd=tmp_path)
    np.testing.assert_array_equal(np.load(tmp_path / "as-it-says.npy"), np.load(tmp_path / "told.npy"))
    error = reparam("decode", f"codes.{form}", "--model", "mnist-mlp", cwd=tmp_path, status=1)
    assert f"codes.{form}: expected codes of mnist-mlp, found those of mnist-2d" in error


def test_codes_of_ones_own_model_need_its_folder(tmp_path: Path) -> None:
    (tmp_path / "codes.json").write_text(json.dumps({"model": "../mine", "mean": [[0.0] * 40]}))
    error = reparam("decode", "codes.json", cwd=tmp_path, status=1)
    assert "codes.json: its codes are of '../mine', which is not shipped: expected its folder as --model" in error


@pytest.mark.parametrize("form", ["json", "npz", "safetensors"])
def test_codes_of_other_weights_of_the_same_name_are_refused(zoo: Path, tmp_path: Path, form: str) -> None:
    shipped = load_checkpoint(zoo / "mnist-mlp")
    weights = {key: 1.5 * tensor for key, tensor in shipped.model.state_dict().items()}
    save_checkpoint(tmp_path / "mine", "mnist-mlp", shipped.config.model, weights, {}, {})
    reparam("encode", SEVEN, "--model", "./mine", "--out", f"codes.{form}", cwd=tmp_path)
    for other in ((), ("--model", "mnist-mlp")):
        error = reparam("decode", f"codes.{form}", *other, cwd=tmp_path, status=1)
        assert f"codes.{form}: expected codes of mnist-mlp of sha256 {shipped.config.weights.sha256[:12]}" in error
    reparam("decode", f"codes.{form}", "--model", "./mine", cwd=tmp_path)


def test_what_else_lies_in_a_file_is_left_alone(tmp_path: Path) -> None:
    codes = np.zeros((1, 40), np.float32)
    np.savez(tmp_path / "codes.npz", allow_pickle=True, mean=codes, others=np.array([{}]))
    assert files._read_codes(tmp_path / "codes.npz").numbers.shape == (1, 40)


def test_the_default_model_is_the_one_that_the_help_names() -> None:
    assert shipped()[0] == "mnist-conv" == files._load(None).name


def test_an_answer_of_the_service_can_be_decoded(tmp_path: Path) -> None:
    np.savez(tmp_path / "drawn.npz", latents=np.zeros((2, 40), np.float32))
    save_file({"latents": np.zeros((2, 40), np.float32)}, tmp_path / "drawn.safetensors", {"model": "mnist-conv"})
    for form in ("npz", "safetensors"):
        reparam("decode", f"drawn.{form}", "--out", f"{form}.npy", cwd=tmp_path)
        assert np.load(tmp_path / f"{form}.npy").shape == (2, 28, 28)
