"""The playground's digits are MNIST's own."""

from pathlib import Path

import numpy as np
from PIL import Image

from models.data import load_mnist

ROOT = Path(__file__).resolve().parent.parent


def test_every_row_holds_the_first_test_digits_of_its_label_to_the_bit() -> None:
    images, labels = load_mnist(ROOT / "tests" / "data" / "mnist", "test")
    with Image.open(ROOT / "app" / "web" / "digits.png") as sheet:
        assert "CC BY-SA 3.0" in sheet.info["Copyright"]
        assert sheet.mode == "L"
        tiles = np.asarray(sheet).reshape(10, 28, 50, 28).swapaxes(1, 2)  # (label, which, row, column)
    for label in range(10):
        np.testing.assert_array_equal(tiles[label], images[labels == label][:50])
