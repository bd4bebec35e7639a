"""Fixtures that more than one folder of tests uses."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.data import load_mnist
from tests.app.checkpoints import save_all

ROOT = Path(__file__).resolve().parent.parent

torch.set_num_threads(1)  # the models of tests are tiny: two threads would mostly wait for each other


@pytest.fixture(autouse=True)
def seed() -> None:
    """What a test draws without a generator, the weights of a new model say, is the same every time."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def mnist() -> Path:
    """A folder with 2,000 real MNIST training digits and 1,000 test digits, in MNIST's own four files."""
    return ROOT / "tests" / "data" / "mnist"


@pytest.fixture(scope="session")
def zoo() -> Path:
    """The shipped checkpoints."""
    return ROOT / "models" / "zoo"


@pytest.fixture(scope="session")
def digits(mnist: Path) -> np.ndarray:
    """1,000 real test digits, (1000, 28, 28) uint8."""
    return load_mnist(mnist, "test").images


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory, mnist: Path) -> dict[str, Path]:
    """A small checkpoint of every kind, by name."""
    return save_all(tmp_path_factory.mktemp("checkpoints"), mnist)
