import numpy as np
import pytest
import torch

from models.data import Digits
from models.data.pixels import as_vectors, binarize


def test_a_vector_has_the_images_rows_one_after_the_other_from_0_to_1() -> None:
    images = np.zeros((3, 28, 28), np.uint8)
    images[1, 0, 27], images[2, 1, 0] = 255, 51
    x = as_vectors(Digits(images, np.zeros(3, np.uint8)))
    assert (x.shape, x.dtype) == ((3, 784), torch.float32)
    assert x.nonzero().tolist() == [[1, 27], [2, 28]]
    assert (x[1, 27].item(), x[2, 28].item()) == (1, pytest.approx(0.2))


def test_a_pixel_is_as_often_white_as_it_is_bright_and_the_seed_decides_when() -> None:
    x = torch.tensor([0.0, 0.3, 1.0]).expand(20_000, 3)
    drawn = binarize(x, torch.Generator().manual_seed(0))
    assert drawn.unique().tolist() == [0, 1]
    assert drawn.mean(0).tolist() == [0, pytest.approx(0.3, abs=0.02), 1]
    assert torch.equal(drawn, binarize(x, torch.Generator().manual_seed(0)))
    assert not torch.equal(drawn, binarize(x, torch.Generator().manual_seed(1)))
