from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from app.images import contact_sheet, png, read_image
from models.errors import ShapeError


def opened(data):
    image = Image.open(BytesIO(data))
    assert (image.format, image.mode) == ("PNG", "L")
    return np.asarray(image)


def test_a_digit_comes_back_to_the_bit(digits):
    for digit in digits[:50]:
        data = png(digit.astype(np.float32) / np.float32(255))
        assert np.array_equal(opened(data), digit)
        assert np.array_equal(read_image(data).pixels, digit.astype(np.float32) / np.float32(255))


def test_the_same_image_gives_the_same_bytes_and_few(digits):
    images = digits[:100].astype(np.float32) / 255
    files = [png(image) for image in images]
    assert files == [png(image.copy()) for image in images]
    assert np.mean([len(data) for data in files]) < 300


def test_values_are_rounded_to_the_nearest_and_cut():
    levels = opened(png(np.array([[-0.1, 0.0, 0.4 / 255, 0.6 / 255, 1.0, 1.7]], np.float32)))
    assert levels.tolist() == [[0, 0, 0, 1, 255, 255]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_an_error(bad):
    with pytest.raises(ShapeError, match="finite"):
        png(np.full((28, 28), bad, np.float32))
    with pytest.raises(ShapeError, match="finite"):
        contact_sheet(np.full((2, 28, 28), bad, np.float32))


@pytest.mark.parametrize("shape", [(28,), (1, 28, 28), (0, 28)])
def test_an_image_has_two_dimensions(shape):
    with pytest.raises(ShapeError, match="found"):
        png(np.zeros(shape, np.float32))


def test_a_sheet_of_one_is_the_image(digits):
    image = digits[0].astype(np.float32) / 255
    assert contact_sheet(image[None]) == png(image)


@pytest.mark.parametrize(
    ("count", "columns", "shape"),
    [(4, None, (57, 57)), (5, None, (57, 86)), (5, 2, (86, 57)), (3, 10, (28, 86)), (16, 16, (28, 463))],
)
def test_a_sheet_is_about_square_or_as_wide_as_told(count, columns, shape):
    assert opened(contact_sheet(np.zeros((count, 28, 28), np.float32), columns)).shape == shape


def test_a_sheet_shows_every_digit_whole_and_in_order(digits):
    sheet = opened(contact_sheet(digits[:7].astype(np.float32) / 255, columns=3, scale=2))
    for i, digit in enumerate(digits[:7]):
        top, left = 2 * 29 * (i // 3), 2 * 29 * (i % 3)
        assert np.array_equal(sheet[top : top + 56, left : left + 56], digit.repeat(2, 0).repeat(2, 1))
    assert sheet[116:, 58:].max() == 0  # unused places


@pytest.mark.parametrize(("columns", "scale"), [(0, 1), (1, 0), (-1, 1)])
def test_a_sheet_needs_a_column_and_a_scale(columns, scale):
    with pytest.raises(ShapeError, match="columns and scale of 1 or more"):
        contact_sheet(np.zeros((2, 28, 28), np.float32), columns, scale)
