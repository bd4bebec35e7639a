"""A running service on the shipped model, in this process."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from app.images import png
from app.main import create_app
from app.settings import Settings
from models.data import load_mnist


@pytest.fixture(scope="session")
def client() -> Iterator[TestClient]:
    with TestClient(
        create_app(Settings(max_images=8, max_latents=8, max_samples=64, max_body_bytes=200_000))
    ) as client:
        yield client


@pytest.fixture(scope="session")
def digits(mnist: Path) -> np.ndarray:
    """1,000 real test digits, (1000, 28, 28) uint8."""
    return load_mnist(mnist, "test").images


@pytest.fixture(scope="session")
def seven(digits: np.ndarray) -> bytes:
    """A real 7, as a PNG of 28x28."""
    return png(digits[0].astype(np.float32) / 255)
