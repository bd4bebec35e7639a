"""What the tests of the fetch say more than once."""

from pathlib import Path

import pytest

from models.data import fetch_mnist
from models.errors import DataError

NAME = "t10k-images-idx3-ubyte"
GZ = f"{NAME}.gz"


def fails(folder: Path, mirrors: list[str], sha256: dict[str, str], **options: float) -> str:
    with pytest.raises(DataError) as caught:
        fetch_mnist(folder, mirrors, sha256=sha256, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def assert_fetched(folder: Path, files: dict[str, bytes]) -> None:
    """The one file is there, to the bit, and nothing is left beside it."""
    assert (folder / GZ).read_bytes() == files[GZ]
    assert [path.name for path in folder.iterdir()] == [GZ]
