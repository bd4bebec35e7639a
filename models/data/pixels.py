"""Digits as models see them."""

import torch
from torch import Generator, Tensor

from models.data.mnist import Digits


def as_vectors(digits: Digits) -> Tensor:
    """The images as vectors (N, D) of float32 in [0, 1]."""
    return torch.from_numpy(digits.images.reshape(len(digits.images), -1)).float() / 255


def binarize(x: Tensor, generator: Generator) -> Tensor:
    """One binarization of images x (N, D) in [0, 1]: every pixel a coin of its brightness."""
    return (torch.rand(x.shape, generator=generator) < x).float()
