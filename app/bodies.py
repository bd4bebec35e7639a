"""From a request's body to arrays: what a call takes, in any of the forms that it may come in."""

import base64
import binascii
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
from fastapi import Request

from app.batching import Rows, as_numbers
from app.engine import Array, Model
from app.errors import LimitError, MalformedError, MediaTypeError
from app.headers import header
from app.images import ImageError, ImageTooLargeError, Picture, fit_image, read_image
from app.json_bodies import INLINE_BYTES, load_object
from app.multipart import form_files
from app.numbers import kind_of, rows_of_numbers
from app.queries import PictureQuery
from app.settings import Settings
from app.stages import stage
from app.state import settings_of
from app.streams import Body, Buffer, read_body, read_buffer
from app.tensors import NPY, SAFETENSORS, Values, as_images, as_latents, read_npy, read_safetensors
from app.threads import off_loop_if
from models.errors import InputError, ShapeError

JSON, MULTIPART = "application/json", "multipart/form-data"
IMAGE_TYPES = ("image/png", "image/jpeg", "image/webp", "image/bmp", "image/gif", "image/tiff")
OTHER_NAMES = {"image/jpg": "image/jpeg", "image/x-ms-bmp": "image/bmp"}  # which no registry has, and callers send
TENSOR_TYPES = (NPY, SAFETENSORS)
IMAGES_IN = (JSON, MULTIPART, *IMAGE_TYPES, *TENSOR_TYPES)
LATENTS_IN = (JSON, *TENSOR_TYPES)
ENDS_IN = (JSON, MULTIPART, *TENSOR_TYPES)

_INLINE_FILE_BYTES = 4 * 2**10

Files = list[bytes]


def media_type(request: Request) -> str:
    """The body's type without its parameters, in lower case; empty if the request states none."""
    stated = header(request, b"content-type").partition(";")[0].strip().lower()
    return OTHER_NAMES.get(stated, stated)


async def read_json(request: Request) -> Body:
    """The body of a call that takes JSON alone. Raises: MediaTypeError; as `read_body`."""
    _check_type(request, (JSON,))
    return await read_body(request, settings_of(request), "max_json_bytes")


async def read_images(request: Request, model: Model, fitting: PictureQuery) -> Rows:
    """The images of a request, ready for the model: (N, H, W), float32 in [0, 1] or uint8.

    Raises: MediaTypeError; MalformedError; LimitError; ImageError; ShapeError; InputError; as `read_body`.
    """
    taken = await _take(request, model, IMAGES_IN, ("images", "pixels"))
    if isinstance(taken, np.ndarray):
        return _as_it_is(taken, fitting)
    with stage("preprocess"):
        return await _fit(request, taken, model, fitting)


async def read_latents(request: Request, model: Model) -> Array:
    """The latent vectors of a request: (N, Z) float32, finite.

    Raises: MediaTypeError; MalformedError; LimitError; ShapeError; InputError; as `read_body`.
    """
    taken = await _take(request, model, LATENTS_IN, ("latents",))
    assert isinstance(taken, np.ndarray)  # noqa: S101  for the type checker: files have another name
    return as_numbers(taken)


async def read_ends(request: Request, model: Model, fitting: PictureQuery) -> Rows:
    """The two of a request between which to interpolate: images (2, H, W), or latents (2, Z).

    Raises: as `read_images` and `read_latents`; MalformedError: if they are not two.
    """
    taken = await _take(request, model, ENDS_IN, ("images", "pixels", "latents"), ends=True)
    if isinstance(taken, np.ndarray):
        return _as_it_is(taken, fitting)
    with stage("preprocess"):
        return await _fit(request, taken, model, fitting)


def _as_it_is(rows: Rows, fitting: PictureQuery) -> Rows:
    """Numbers, which no picture query changes. Raises: InputError: if one would have to."""
    for name, value, default in (("fit", fitting.fit, None), ("polarity", fitting.polarity, "auto")):
        if value != default:
            raise InputError(
                f"{name}: expected it with image files alone, numbers are taken as they are; found {value}"
            )
    return rows


def _check_type(request: Request, expected: tuple[str, ...]) -> str:
    """The body's media type. Raises: MediaTypeError."""
    kind = media_type(request)
    if kind not in expected:
        found = header(request, b"content-type") or "no Content-Type"
        raise MediaTypeError(f"body: expected {', '.join(expected)}, found {found:.200}", expected)
    return kind


async def _take(
    request: Request, model: Model, expected: tuple[str, ...], names: tuple[str, ...], ends: bool = False
) -> Files | Rows:
    """What the body holds: files that are yet to be read, or the array itself.

    Args:
        expected: the media types that the call takes.
        names: of what the call takes: `images`, `pixels` (images as lists of numbers), `latents`.
        ends: whether it takes exactly two.
    """
    settings = settings_of(request)
    kind = _check_type(request, expected)
    reader = _Reader(settings, model, names, ends)
    if kind in TENSOR_TYPES:
        array = await read_buffer(request, settings)
        read = {NPY: reader.npy, SAFETENSORS: reader.safetensors}[kind]
        with stage("preprocess"):
            return await off_loop_if(len(array) > INLINE_BYTES, read, array, executor=request.state.readers)
    body = await read_body(request, settings, "max_json_bytes" if kind == JSON else "max_body_bytes")
    if kind in IMAGE_TYPES:
        return [bytes(body)]
    with stage("preprocess"):
        large, readers = len(body) > INLINE_BYTES, request.state.readers
        if kind == JSON:
            return await off_loop_if(large, reader.json, body, executor=readers)
        return await off_loop_if(large, reader.form, header(request, b"content-type"), body, executor=readers)


class _Reader:
    """From a body to what a call takes, of a model, within the limits."""

    def __init__(self, settings: Settings, model: Model, names: tuple[str, ...], ends: bool) -> None:
        self._settings, self._model, self._names, self._ends = settings, model, names, ends

    def form(self, content_type: str, body: Body) -> Files:
        files = form_files(content_type, body, self._settings.max_images)
        self._check_count("images", len(files))
        return files

    def json(self, body: Body) -> Files | Rows:
        rows, columns = self._model.image_shape
        name, values = _member(load_object(body, self._settings.max_json_bytes), self._names)
        if not isinstance(values, list):
            raise MalformedError(f"{name}: expected a list, found {kind_of(values)}")
        self._check_count(name, len(values))
        if name == "images":
            return _decode_files(values)
        if name == "pixels":
            return _pixels(values, rows, columns)
        with self._telling_the_width():
            return rows_of_numbers(name, values, self._model.latents)

    def npy(self, body: Buffer) -> Rows:
        values = read_npy(body)
        # An array has no name: where both are taken, rows of as many numbers as the model has latents are latents.
        latents = values.ndim == 2 and values.shape[1] == self._model.latents
        name = "latents" if self._names == ("latents",) or ("latents" in self._names and latents) else "images"
        with self._telling_the_width() if self._ends and values.ndim == 2 else nullcontext():
            return self._array(name, values)

    def safetensors(self, body: Buffer) -> Rows:
        return self._array(*read_safetensors(body, *(name for name in self._names if name != "pixels")))

    def _array(self, name: str, values: Values) -> Rows:
        """Raises: LimitError; MalformedError; ShapeError, which tells of a single number too; InputError."""
        self._check_count(name, len(values) if values.ndim else 1)
        if name == "images":
            return as_images(values, self._model.image_shape)
        with self._telling_the_width():
            return as_latents(values, self._model.latents)

    def _check_count(self, name: str, count: int) -> None:
        """Before anything is made of them."""
        if self._ends and count != 2:
            raise MalformedError(f"{name}: expected exactly 2, from which and to which to go, found {count}")
        if not count:
            raise MalformedError(f"{name}: expected at least one, found none")
        limit = "max_latents" if name == "latents" else "max_images"
        if count > (most := getattr(self._settings, limit)):
            raise LimitError(name, limit, most, count)

    @contextmanager
    def _telling_the_width(self) -> Iterator[None]:
        try:
            yield
        except ShapeError as error:
            raise ShapeError(f"{error}; {self._model.name} has {self._model.latents} latents") from error


def _member(document: dict[str, Any], names: Sequence[str]) -> tuple[str, Any]:
    """The one member of a JSON object, of one of these names, and its value. Raises: MalformedError."""
    if len(document) != 1 or not document.keys() <= set(names):
        expected = f"either {' or '.join(names)}" if len(names) > 1 else names[0]
        found = ", ".join(sorted(document))[:200] or "an empty object"
        raise MalformedError(f"body: expected {expected}, found {found}")
    ((name, value),) = document.items()
    return name, value


def _decode_files(values: list[Any]) -> Files:
    return [_decode_file(value, index) for index, value in enumerate(values)]


def _decode_file(value: Any, index: int) -> bytes:
    """A file from base64, also from a data URL, and with the line breaks that some write into it."""
    if not isinstance(value, str):
        expected = "text, the base64 of an image file (pixels are for numbers)"
        raise MalformedError(f"images[{index}]: expected {expected}, found {kind_of(value)}")
    encoded = value.partition(",")[2] if value.startswith("data:") else value
    try:
        return base64.b64decode("".join(encoded.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedError(f"images[{index}]: expected base64: {error}") from error


def _pixels(values: list[Any], rows: int, columns: int) -> Array:
    pixels = rows_of_numbers("pixels", values, rows * columns, (rows, columns))
    if pixels.min() < 0 or pixels.max() > 1:
        raise InputError(f"pixels: expected numbers in 0..1, found {pixels.min():.9g} to {pixels.max():.9g}")
    return pixels.reshape(-1, rows, columns)


async def _fit(request: Request, files: Files, model: Model, fitting: PictureQuery) -> Array:
    """The model's input from picture files; one small file that is taken as it is, as most are, on the event loop."""
    max_pixels = settings_of(request).max_pixels
    if len(files) == 1 and len(files[0]) <= _INLINE_FILE_BYTES and fitting.fit is None:
        rows, columns = model.image_shape
        try:
            picture = _read_picture(files[0], 0, min(max_pixels, rows * columns))
        except ImageTooLargeError:  # so says its header, and nothing was decoded
            pass
        else:
            if picture.grey and picture.pixels.shape == model.image_shape:
                return fit_image(picture, None, fitting.polarity, rows, model.box)[None]
    return await off_loop_if(True, _fit_all, files, model, max_pixels, fitting, executor=request.state.readers)


def _fit_all(files: Files, model: Model, max_pixels: int, fitting: PictureQuery) -> Array:
    """Read every file and make it the model's input; `max_pixels` is for all of them together."""
    images, pixels = [], 0
    for i, file in enumerate(files):
        picture = _read_picture(file, i, max_pixels, pixels)
        pixels += picture.size
        images.append(fit_image(picture, fitting.fit, fitting.polarity, model.image_shape[0], model.box))
    return np.stack(images)


def _read_picture(file: bytes, place: int, max_pixels: int, before: int = 0) -> Picture:
    try:
        return read_image(file, max_pixels, before)
    except ImageError as error:
        setting = " (max_pixels, set by REPARAM_MAX_PIXELS)" if isinstance(error, ImageTooLargeError) else ""
        raise type(error)(f"images[{place}]: {error}{setting}") from error
