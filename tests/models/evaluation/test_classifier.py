import shutil
from pathlib import Path

import pytest
import torch

from models.data import load_mnist
from models.errors import CheckpointError
from models.evaluation.classifier import CONFIG_FILE, FEATURES, FOLDER, WEIGHTS_FILE, ClassifierConfig, load_classifier


def test_it_reads_real_digits_as_well_as_it_says(mnist: Path) -> None:
    stated = ClassifierConfig.model_validate_json((FOLDER / CONFIG_FILE).read_bytes()).test_accuracy
    assert stated >= 0.994
    digits = load_mnist(mnist, "test")
    x = torch.from_numpy(digits.images.reshape(-1, 784)).float() / 255
    classifier = load_classifier()
    with torch.inference_mode():
        found = (classifier(x).argmax(-1).numpy() == digits.labels).mean()
        assert classifier.features(x).shape == (1000, FEATURES)
    assert found >= 0.994


def test_it_is_small() -> None:
    assert (FOLDER / WEIGHTS_FILE).stat().st_size < 600_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        shutil.copy(FOLDER / name, tmp_path)
    return tmp_path


def test_damaged_files_are_named(folder: Path) -> None:
    weights = folder / WEIGHTS_FILE
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(CheckpointError, match=rf"{WEIGHTS_FILE}: expected sha256 [0-9a-f]{{64}}, found [0-9a-f]{{64}}"):
        load_classifier(folder)
    (folder / CONFIG_FILE).write_text("{}")
    with pytest.raises(CheckpointError, match=rf"{CONFIG_FILE}: sha256: field required"):
        load_classifier(folder)
    weights.unlink()
    (folder / CONFIG_FILE).unlink()
    with pytest.raises(CheckpointError, match=rf"{CONFIG_FILE}: expected a file of the classifier"):
        load_classifier(folder)
