"""The playground's digits are MNIST's own."""

import gzip
import io
from pathlib import Path

import numpy as np

from models.data import load_mnist

ROOT = Path(__file__).resolve().parent.parent


def test_they_are_the_first_test_digits_of_every_class_in_turn_to_the_bit() -> None:
    images, labels = load_mnist(ROOT / "tests" / "data" / "mnist", "test")
    found = np.load(io.BytesIO(gzip.decompress((ROOT / "app" / "web" / "digits.npy.gz").read_bytes())))
    assert found.dtype == np.uint8
    assert len(found) == 500
    for label in range(10):
        np.testing.assert_array_equal(found[label::10], images[labels == label][:50])
