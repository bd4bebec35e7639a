"""Real digits."""

from pathlib import Path

import pytest

from models.data import Digits, load_mnist
from tests.models.training.recipes import first


@pytest.fixture(scope="session")
def many_digits(mnist: Path) -> Digits:
    """2,000 real digits."""
    return load_mnist(mnist, "train")


@pytest.fixture(scope="session")
def digits(many_digits: Digits) -> Digits:
    """400 of them."""
    return first(many_digits, 400)
