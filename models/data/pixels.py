"""Digits as models see them."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Generator, Tensor

from models.data.mnist import Digits
from models.errors import InputError


def check_images(images: npt.NDArray[Any]) -> None:
    """Raises: InputError: if they are not images as `Digits` has them, one or more."""
    if images.dtype != np.uint8 or images.ndim != 3 or not len(images):
        raise InputError(
            f"expected one image or more, uint8 (N, rows, columns), found {images.dtype} {tuple(images.shape)}"
        )
    if images.max() == 1:  # which would be a picture 255 times too dark
        raise InputError("expected pixels from 0 to 255, found none above 1: multiply images of 0 and 1 by 255")


def as_vectors(digits: Digits) -> Tensor:
    """The images as vectors (N, D) of float32 in [0, 1]. Raises: InputError: if they are none."""
    check_images(digits.images)
    return torch.from_numpy(np.ascontiguousarray(digits.images).reshape(len(digits.images), -1)).float() / 255


def binarize(x: Tensor, generator: Generator) -> Tensor:
    """One binarization of images x (N, D) in [0, 1]: every pixel a coin of its brightness."""
    return (torch.rand(x.shape, generator=generator).to(x.device) < x).float()
