"""A running service on the shipped model, in this process."""

from collections.abc import Iterator

import numpy as np
import pytest
from starlette.testclient import TestClient

from app.images import png
from app.main import create_app
from app.settings import Settings


@pytest.fixture(scope="session")
def client() -> Iterator[TestClient]:
    with TestClient(
        create_app(Settings(max_images=8, max_latents=8, max_samples=64, max_body_bytes=200_000))
    ) as client:
        yield client


@pytest.fixture(scope="session")
def seven(digits: np.ndarray) -> bytes:
    """A real 7, as a PNG of 28x28."""
    return png(digits[0].astype(np.float32) / 255)
