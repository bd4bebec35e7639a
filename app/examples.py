"""Two digits that the examples in the schema are of: the first two of MNIST's test digits."""

from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from app.images import read_image


@cache
def example_files() -> tuple[bytes, ...]:
    """As PNG files."""
    return tuple(files("app").joinpath("web", name).read_bytes() for name in ("seven.png", "two.png"))


@cache
def example_images() -> npt.NDArray[np.float32]:
    """(2, 28, 28) in [0, 1]."""
    return np.stack([read_image(file).pixels for file in example_files()])
