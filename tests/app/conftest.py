"""A running service in this process, on the shipped mnist-mlp and on a small checkpoint of every kind."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from app.images import png
from app.main import create_app
from app.settings import Settings
from tests.app.lines import Lines


@pytest.fixture(scope="session")
def client(checkpoints: dict[str, Path]) -> Iterator[TestClient]:
    models = ("mnist-mlp", *map(str, checkpoints.values()))
    settings = Settings(
        models=models, max_images=8, max_latents=8, max_samples=400, max_steps=16, max_body_bytes=200_000
    )
    with TestClient(create_app(settings)) as client:
        yield client


@pytest.fixture(scope="session")
def seven(digits: np.ndarray) -> bytes:
    """A real 7, as a PNG of 28x28."""
    return png(digits[0].astype(np.float32) / 255)


@pytest.fixture
def lines() -> Iterator[Lines]:
    """What the log is written while the test runs."""
    handler, logger = Lines(), logging.getLogger("app")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)
