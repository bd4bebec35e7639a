"""From arrays to a response, in the form that the caller accepts."""

import base64
from typing import Any

import numpy as np
from fastapi import Request, Response

from app.accept import choose
from app.engine import Array, Model
from app.errors import LimitError
from app.images import contact_sheet, png, sheet_size
from app.json_bodies import dump_object
from app.stages import stage
from app.state import settings_of
from app.tensors import NPY, SAFETENSORS, write_npy, write_safetensors
from app.threads import off_loop_if

JSON, PNG, OCTETS = "application/json", "image/png", "application/octet-stream"

# What is no larger is written on the event loop, in some hundred microseconds.
_INLINE_NUMBERS = 10_000
_INLINE_PIXELS = 4 * 28 * 28

Column = Array | None  # of an answer; None: the model has no such numbers
Others = dict[str, Any]  # what stands beside an answer's images: arrays, and single numbers


def json_answer(document: dict[str, Any]) -> Response:
    """JSON, with NumPy arrays as nested lists of numbers."""
    with stage("encode"):
        return Response(dump_object(document), media_type=JSON)


class NumberForm:
    """How a call's numbers are answered; its caller says so before the body is read. Raises: NotAcceptableError."""

    offered: tuple[str, ...] = JSON, SAFETENSORS

    def __init__(self, request: Request) -> None:
        self.media = choose(request, self.offered)

    async def answer(self, model: str, **columns: Column) -> Response:
        """Columns of numbers, a row an image; those that the model does not have are null, or no tensors."""
        return await _numbers(self.media, model, columns)


async def _numbers(media: str, model: str, columns: dict[str, Column]) -> Response:
    size = sum([column.size for column in columns.values() if column is not None])
    with stage("encode"):
        return await off_loop_if(size > _INLINE_NUMBERS, _write_numbers, media, model, columns)


def _write_numbers(media: str, model: str, columns: dict[str, Column]) -> Response:
    if media == SAFETENSORS:
        tensors = {name: column for name, column in columns.items() if column is not None}
        return _negotiated(write_safetensors(tensors, {"model": model}), media)
    return _negotiated(dump_object({"model": model} | columns), media)


def _negotiated(content: bytes, media: str) -> Response:
    return Response(content, media_type=media, headers={"Vary": "Accept"})


class ImageForm:
    """How a call's images are answered; its caller says so before the body is read. Raises: NotAcceptableError."""

    offered: tuple[str, ...] = PNG, JSON, NPY, SAFETENSORS

    def __init__(self, request: Request, columns: int | None, scale: int) -> None:
        self.media = choose(request, self.offered)
        self.columns, self.scale = columns, scale
        self._limit = settings_of(request).max_sheet_pixels

    def check(self, count: int, model: Model) -> None:
        """Raises: LimitError: if the contact sheet of `count` images would be too large."""
        height, width = sheet_size(count, *model.image_shape, self.columns, self.scale)
        if self.media == PNG and height * width > self._limit:
            raise LimitError("pixels of the PNG", "max_sheet_pixels", self._limit, height * width)

    async def answer(self, model: str, images: Array, **others: Any) -> Response:
        """Images (N, H, W): as a PNG, one as itself and several as a contact sheet; as JSON or tensors, with `others`
        beside them; or alone as a .npy file.
        """
        pixels = images.size * (self.scale**2 if self.media == PNG else 1)
        with stage("encode"):
            return await off_loop_if(pixels > _INLINE_PIXELS, self._write, model, images, others)

    def _write(self, model: str, images: Array, others: Others) -> Response:
        return _negotiated(self._content(model, images, others), self.media)

    def _content(self, model: str, images: Array, others: Others) -> bytes:
        if self.media == PNG:
            return contact_sheet(images, self.columns, self.scale)
        if self.media == NPY:
            return write_npy(images)
        if self.media == SAFETENSORS:
            tensors = {name: value for name, value in others.items() if isinstance(value, np.ndarray)}
            metadata = {name: str(value) for name, value in others.items() if name not in tensors}
            return write_safetensors({"images": images} | tensors, {"model": model} | metadata)
        encoded = [base64.b64encode(png(image)).decode() for image in images]
        return dump_object({"model": model, "images": encoded} | others)


class MapForm(ImageForm):
    """How a map is answered: as numbers, or as a square picture of `size` images a side."""

    offered = JSON, PNG, SAFETENSORS

    async def numbers(self, model: str, **columns: Any) -> Response:
        """As `NumberForm.answer`."""
        return await _numbers(self.media, model, columns)
