"""From a request's body to arrays: what a call takes, in any of the forms that it may come in."""

import base64
import binascii
from collections.abc import AsyncGenerator
from typing import Annotated, Any

import numpy as np
import orjson
from anyio import to_thread
from fastapi import Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from app.engine import Array, Model
from app.errors import BodyTooLargeError, LimitError, MalformedError, MediaTypeError
from app.images import Fit, ImageError, Polarity, fit_image, read_image
from app.numbers import rows_of_numbers
from app.settings import Settings
from app.state import ModelDep, SettingsDep
from models.errors import InputError, ShapeError

JSON, MULTIPART = "application/json", "multipart/form-data"
MAX_FIELDS = 8
IMAGE_TYPES = ("image/png", "image/jpeg", "image/webp", "image/bmp", "image/gif", "image/tiff")


def media_type(request: Request) -> str:
    """The body's type without its parameters, in lower case; empty if the request states none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_json(request: Request, settings: SettingsDep) -> bytes:
    """The body of a call that takes JSON alone. Raises: MediaTypeError; BodyTooLargeError."""
    if media_type(request) != JSON:
        raise _unsupported(request, JSON)
    return await _read(request, settings)


JsonDep = Annotated[bytes, Depends(read_json)]


class Fitting:
    """How a picture becomes the model's input."""

    def __init__(
        self,
        fit: Annotated[
            Fit | None,
            Query(
                description="How a picture becomes the model's input: `digit` crops to the ink, scales it and centres "
                "it by mass, as MNIST was made; `stretch` resizes the whole. Left out, a grey picture that has the "
                "model's size is used as it is, and any other is fitted as a `digit`."
            ),
        ] = None,
        polarity: Annotated[
            Polarity, Query(description="What the strokes are; `auto` looks, and the model sees light on dark.")
        ] = "auto",
    ) -> None:
        self.fit, self.polarity = fit, polarity


FittingDep = Annotated[Fitting, Depends()]


async def read_images(request: Request, settings: SettingsDep, model: ModelDep, fitting: FittingDep) -> Array:
    """The images of a request, ready for the model: (N, H, W) float32 in [0, 1].

    Raises: MediaTypeError; BodyTooLargeError; MalformedError; LimitError; ImageError; ShapeError.
    """
    kind = media_type(request)
    if kind in IMAGE_TYPES:
        return await _fit(request, [await _read(request, settings)], model, fitting)
    if kind == MULTIPART:
        return await _fit(request, await _read_form(request, settings), model, fitting)
    if kind == JSON:
        name, values = load_member(await _read(request, settings), "images", "pixels")
        return await _listed_images(request, model, fitting, name, values)
    raise _unsupported(request, MULTIPART, *IMAGE_TYPES, JSON)


ImagesDep = Annotated[Array, Depends(read_images)]


async def read_latents(settings: SettingsDep, model: ModelDep, body: JsonDep) -> Array:
    """The latent vectors of a request: (N, Z) float32, finite.

    Raises: as `read_json`; MalformedError; LimitError; ShapeError; InputError.
    """
    _, latents = load_member(body, "latents")
    return await _listed_latents(settings, model, latents)


LatentsDep = Annotated[Array, Depends(read_latents)]


async def read_ends(request: Request, settings: SettingsDep, model: ModelDep, fitting: FittingDep) -> Array:
    """The two of a request between which to interpolate: images (2, H, W), or latents (2, Z).

    Raises: as `read_images` and `read_latents`; MalformedError: if they are not two.
    """
    kind = media_type(request)
    if kind == MULTIPART:
        files = await _read_form(request, settings)
        _check_two("images", files)
        return await _fit(request, files, model, fitting)
    if kind == JSON:
        name, values = load_member(await _read(request, settings), "images", "pixels", "latents")
        _check_two(name, values)
        if name == "latents":
            return await _listed_latents(settings, model, values)
        return await _listed_images(request, model, fitting, name, values)
    raise _unsupported(request, MULTIPART, JSON)


EndsDep = Annotated[Array, Depends(read_ends)]


async def _listed_latents(settings: Settings, model: Model, values: object) -> Array:
    _check_count("latents", values, "max_latents", settings.max_latents)
    try:
        return await run_in_threadpool(rows_of_numbers, "latents", values, model.latents)
    except ShapeError as error:
        raise ShapeError(f"{error}; {model.name} has {model.latents} latents") from error


async def _listed_images(request: Request, model: Model, fitting: Fitting, name: str, values: object) -> Array:
    """From the member `images` or `pixels` of a JSON object."""
    _check_count(name, values, "max_images", request.state.settings.max_images)
    if name == "pixels":
        return await run_in_threadpool(_pixels, values, model)
    return await _fit(request, _decode_files(values), model, fitting)


async def _fit(request: Request, files: list[bytes], model: Model, fitting: Fitting) -> Array:
    max_pixels = request.state.settings.max_pixels
    return await to_thread.run_sync(_fit_all, files, model, max_pixels, fitting, limiter=request.state.readers)


async def _chunks(request: Request, settings: Settings) -> AsyncGenerator[bytes, None]:
    """The body as it arrives, and no more of it than the limit."""
    limit, size = settings.max_body_bytes, 0
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and int(stated) > limit:
        raise _too_large(limit, f"a Content-Length of {stated}")
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _too_large(limit, "more")
        yield chunk


def _too_large(limit: int, found: str) -> BodyTooLargeError:
    return BodyTooLargeError(
        f"body: expected at most {limit} bytes (max_body_bytes, set by REPARAM_MAX_BODY_BYTES), found {found}"
    )


async def _read(request: Request, settings: Settings) -> bytes:
    return b"".join([chunk async for chunk in _chunks(request, settings)])


async def _read_form(request: Request, settings: Settings) -> list[bytes]:
    """The files of the field `images`."""
    # One file too many is enough to know; a few fields may stand beside them by mistake, and are named below.
    parser = MultiPartParser(
        request.headers, _chunks(request, settings), max_files=settings.max_images, max_fields=MAX_FIELDS
    )
    parser.spool_max_size = settings.max_body_bytes  # in memory: the file system may be read-only
    try:
        form = await parser.parse()
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            raise LimitError("images", "max_images", settings.max_images, "more") from error
        raise MalformedError(f"body: not multipart/form-data: {error.message}") from error
    try:
        if form.keys() != {"images"}:
            found = ", ".join(sorted(form.keys()))[:200] or "none (or one cut short)"
            raise MalformedError(f"body: expected a form with the field images alone, found {found}")
        parts = form.getlist("images")
        if not all(isinstance(part, UploadFile) for part in parts):
            raise MalformedError("images: expected files (with curl: -F images=@digit.png), found text")
        return [await part.read() for part in parts if isinstance(part, UploadFile)]
    finally:
        await form.close()


def load_object(body: bytes) -> dict[str, Any]:
    """A JSON object. Raises: MalformedError."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedError(f"body: not JSON: {error}") from error
    if not isinstance(document, dict):
        raise MalformedError(f"body: expected a JSON object, found {type(document).__name__}")
    return document


def load_member(body: bytes, *names: str) -> tuple[str, Any]:
    """The one member of a JSON object, of one of these names, and its value. Raises: MalformedError."""
    document = load_object(body)
    if len(document) != 1 or not document.keys() <= set(names):
        expected = f"either {' or '.join(names)}" if len(names) > 1 else names[0]
        raise MalformedError(f"body: expected {expected}, found {_keys(document)}")
    ((name, value),) = document.items()
    return name, value


def _keys(document: dict[str, Any]) -> str:
    return ", ".join(sorted(document))[:200] or "an empty object"


def _decode_files(values: object) -> list[bytes]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise MalformedError("images: expected a list of strings, each the base64 of an image file")
    try:
        return [base64.b64decode(value, validate=True) for value in values]
    except (binascii.Error, ValueError) as error:
        raise MalformedError(f"images: not base64: {error}") from error


def _check_count(what: str, values: object, limit: str, value: int) -> None:
    """Before anything is made of them."""
    if not isinstance(values, list):
        raise MalformedError(f"{what}: expected a list, found {type(values).__name__}")
    if not values:
        raise MalformedError(f"{what}: expected at least one, found none")
    if len(values) > value:
        raise LimitError(what, limit, value, len(values))


def _check_two(what: str, values: object) -> None:
    if isinstance(values, list) and len(values) != 2:
        raise MalformedError(f"{what}: expected exactly 2, from which and to which to go, found {len(values)}")


def _fit_all(files: list[bytes], model: Model, max_pixels: int, fitting: Fitting) -> Array:
    """Read every file and make it the model's input; `max_pixels` is for all of them together."""
    images = []
    for i, file in enumerate(files):
        try:
            picture = read_image(file, max_pixels)
        except ImageError as error:
            raise type(error)(f"images[{i}]: {error}") from error
        max_pixels -= picture.size
        images.append(fit_image(picture, fitting.fit, fitting.polarity, model.image_shape[0], model.box))
    return np.stack(images)


def _pixels(values: object, model: Model) -> Array:
    rows, columns = model.image_shape
    pixels = rows_of_numbers("pixels", values, rows * columns, (rows, columns))
    if pixels.min() < 0 or pixels.max() > 1:
        raise InputError(f"pixels: expected numbers in 0..1, found {pixels.min():g} to {pixels.max():g}")
    return pixels.reshape(-1, rows, columns)


def _unsupported(request: Request, *expected: str) -> MediaTypeError:
    found = request.headers.get("content-type") or "no Content-Type"
    return MediaTypeError(f"body: expected {', '.join(expected)}, found {found}")
