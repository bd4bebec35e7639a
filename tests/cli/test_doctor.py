"""`reparam doctor`: what would be served."""

import json
import os
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.e2e.server import REPARAM

pytestmark = pytest.mark.e2e


def _doctor(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [REPARAM, "doctor", *arguments]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=120)


def test_what_would_be_served_is_told(zoo: Path) -> None:
    config = json.loads((zoo / "mnist-mlp" / "config.json").read_text())
    end = _doctor("--json", REPARAM_MODELS="mnist-mlp", REPARAM_WORKERS="2", REPARAM_MAX_IMAGES="7")
    assert end.returncode == 0, end.stderr
    report = json.loads(end.stdout)
    (model,) = report["models"]
    assert (model["name"], model["kind"], model["latents"]) == ("mnist-mlp", "vae", 50)
    assert model["sha256"] == config["weights"]["sha256"] and model["folder"] == str(zoo / "mnist-mlp")
    # 784-256-50 twice with biases, the encoder's last layer for a mean and a variance
    assert model["parameters"] == 784 * 256 + 256 + 256 * 100 + 100 + 50 * 256 + 256 + 256 * 784 + 784
    assert (report["workers"], report["limits"]["max_images"]) == (2, 7)
    assert report["docs"] == "http://127.0.0.1:8000/docs"
    assert report["versions"]["torch"] == version("torch")


def test_the_block_is_to_be_read() -> None:
    counted = {"REPARAM_RATE_LIMIT": "5/second", "REPARAM_RATE_LIMIT_STORAGE": "redis://:secret@127.0.0.1:1/0"}
    traced = {"REPARAM_OTLP_ENDPOINT": "https://me:secret@collector:4318"}
    end = _doctor("--model", "mnist-mlp", REPARAM_METRICS="false", REPARAM_KEYS="secret", **counted, **traced)
    assert end.returncode == 0, end.stderr
    unknown, storage = end.stderr.splitlines()
    assert unknown == "REPARAM_KEYS is set, and has no effect: no setting is called so"
    assert storage.startswith("rate limits: the storage does not count (StorageError ")
    assert storage.endswith("; requests are let pass uncounted until it does")
    lines = end.stdout.splitlines()
    assert lines[0] == "Reparam"
    assert any("mnist-mlp (default): vae, 50 latents, 441,204 parameters, sha256" in line for line in lines)
    assert any(line.split() == ["metrics", "off"] for line in lines)
    counted_in = "5/second, counted in redis://...@127.0.0.1:1/0; when that fails"
    assert any(line.split(maxsplit=1)[0] == "rate" and counted_in in line for line in lines)
    assert any(line.split(maxsplit=1) == ["traces", "to https://...@collector:4318"] for line in lines)
    assert "secret" not in end.stdout + end.stderr
    assert any("http://127.0.0.1:8000/docs" in line for line in lines)


def test_another_programs_folder_of_figures_is_left_alone(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        end = _doctor("--model", "mnist-mlp", PROMETHEUS_MULTIPROC_DIR=str(folder))
        assert end.returncode == 0, end.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_bad_checkpoint_is_one_line(zoo: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    shutil.copytree(zoo / "mnist-mlp", bad)
    (bad / "model.safetensors").write_bytes(b"\0" * 100)
    end = _doctor("--model", f"{bad}/")
    assert end.returncode == 1 and end.stdout == ""
    assert end.stderr.startswith("error: ") and "model.safetensors" in end.stderr and end.stderr.count("\n") == 1


@pytest.mark.parametrize(("host", "words"), [("", "host: "), ("192.0.2.7", "192.0.2.7")])
def test_an_address_that_cannot_be_listened_on_is_told_of(host: str, words: str) -> None:
    end = _doctor("--model", "mnist-mlp", REPARAM_HOST=host)
    assert end.returncode == 1 and end.stdout == ""
    assert end.stderr.startswith("error: ") and words in end.stderr and end.stderr.count("\n") == 1
