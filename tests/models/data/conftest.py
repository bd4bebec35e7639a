"""Two mirrors on this machine, with the test digits for MNIST's."""

import gzip
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.data import SHA256
from tests.models.data.fetching import NAME
from tests.models.data.mirror import Mirror, serve


@pytest.fixture(scope="session")
def files(mnist: Path) -> dict[str, bytes]:
    return {f"{name}.gz": (mnist / f"{name}.gz").read_bytes() for name in SHA256}


@pytest.fixture(scope="session")
def sha256(files: dict[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(gzip.decompress(files[f"{name}.gz"])).hexdigest() for name in SHA256}


@pytest.fixture
def one(sha256: dict[str, str]) -> dict[str, str]:
    """Only the file that the test is about."""
    return {NAME: sha256[NAME]}


@pytest.fixture
def mirror(files: dict[str, bytes]) -> Iterator[Mirror]:
    with serve(Mirror(dict(files))) as mirror:
        yield mirror


@pytest.fixture
def second(files: dict[str, bytes]) -> Iterator[Mirror]:
    with serve(Mirror(dict(files))) as mirror:
        yield mirror
