from typing import Any

import numpy as np
import pytest
import torch

from models.data import Digits
from models.data.pixels import as_vectors, binarize
from models.errors import InputError


def test_a_vector_has_the_images_rows_one_after_the_other_from_0_to_1() -> None:
    images = np.zeros((3, 28, 28), np.uint8)
    images[1, 0, 27], images[2, 1, 0] = 255, 51
    x = as_vectors(Digits(images, np.zeros(3, np.uint8)))
    assert (x.shape, x.dtype) == ((3, 784), torch.float32)
    assert x.nonzero().tolist() == [[1, 27], [2, 28]]
    assert (x[1, 27].item(), x[2, 28].item()) == (1, pytest.approx(0.2))


def test_images_may_lie_in_memory_in_any_order() -> None:
    images = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    for view in (images[::-1], images[:, :, ::-1], images.transpose(0, 2, 1)):
        x = as_vectors(Digits(view, np.zeros(2, np.uint8)))
        assert torch.equal(x, torch.tensor(view.reshape(2, -1).tolist()) / 255)


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (np.zeros((3, 28, 28), np.float32), r"float32 \(3, 28, 28\)"),
        (np.zeros((3, 28, 28), np.int32), r"int32 \(3, 28, 28\)"),
        (np.zeros((3, 784), np.uint8), r"uint8 \(3, 784\)"),
        (np.zeros((0, 28, 28), np.uint8), r"uint8 \(0, 28, 28\)"),
        (torch.zeros((3, 28, 28), dtype=torch.uint8), r"torch.uint8 \(3, 28, 28\)"),
    ],
)
def test_what_are_no_images_is_told(images: Any, found: str) -> None:
    with pytest.raises(InputError, match=f"^expected one image or more, uint8 .*, found {found}$"):
        as_vectors(Digits(images, np.zeros(3, np.uint8)))


def test_images_of_0_and_1_are_told() -> None:
    images = np.eye(28, dtype=np.uint8)[None]
    with pytest.raises(InputError, match=r"^expected pixels from 0 to 255, found none above 1: multiply .* by 255$"):
        as_vectors(Digits(images, np.zeros(1, np.uint8)))
    assert as_vectors(Digits(255 * images, np.zeros(1, np.uint8))).unique().tolist() == [0, 1]


def test_a_pixel_is_as_often_white_as_it_is_bright_and_the_seed_decides_when() -> None:
    x = torch.tensor([0.0, 0.3, 1.0]).expand(20_000, 3)
    drawn = binarize(x, torch.Generator().manual_seed(0))
    assert drawn.unique().tolist() == [0, 1]
    assert drawn.mean(0).tolist() == [0, pytest.approx(0.3, abs=0.02), 1]
    assert torch.equal(drawn, binarize(x, torch.Generator().manual_seed(0)))
    assert not torch.equal(drawn, binarize(x, torch.Generator().manual_seed(1)))
