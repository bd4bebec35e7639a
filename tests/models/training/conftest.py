"""Real digits, and torch as it was before a training set its threads."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

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


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
