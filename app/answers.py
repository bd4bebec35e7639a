"""From arrays to a response, in the form that the caller accepts."""

import base64
from typing import Annotated, Any

import orjson
from fastapi import Depends, Query, Request, Response

from app.engine import Array, Model
from app.errors import LimitError, NotAcceptableError
from app.images import contact_sheet, png, sheet_size
from app.state import SettingsDep

JSON, PNG = "application/json", "image/png"
MAX_COLUMNS = 1024


def choose(request: Request, offered: tuple[str, ...]) -> str:
    """The media type of the answer: of those offered, the one that the Accept header likes best.

    Among equals the first offered wins; a request without the header takes that one too.
    Raises: NotAcceptableError: if the header rules all of them out.
    Source: RFC 9110, section 12.5.1.
    """
    header = ",".join(request.headers.getlist("accept"))
    if not header.strip():
        return offered[0]
    ranges = [_media_range(part) for part in header.split(",") if part.strip()]
    best = max(offered, key=lambda media: _quality(media, ranges))  # the first of those that share the maximum
    if _quality(best, ranges) == 0:
        raise NotAcceptableError(f"Accept: expected one of {', '.join(offered)}, found {header}")
    return best


def _media_range(part: str) -> tuple[str, float]:
    media, *parameters = (piece.strip().lower() for piece in part.split(";"))
    quality = next((p.removeprefix("q=") for p in parameters if p.startswith("q=")), "1")
    try:
        return media, min(1.0, max(0.0, float(quality)))
    except ValueError:
        return media, 0.0


def _quality(media: str, ranges: list[tuple[str, float]]) -> float:
    """What the most specific range that matches says of a media type; 0 if none does."""
    for pattern in (media, media.partition("/")[0] + "/*", "*/*"):
        for accepted, quality in ranges:
            if accepted == pattern:
                return quality
    return 0.0


def accept_json(request: Request) -> None:
    """Of a call that answers with JSON alone. Raises: NotAcceptableError."""
    choose(request, (JSON,))


def json_answer(document: dict[str, Any]) -> Response:
    """JSON, with NumPy arrays as nested lists of numbers."""
    return Response(orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY), media_type=JSON)


Scale = Annotated[int, Query(ge=1, le=16, description="How many pixels wide a pixel of the PNG is.")]


class ImageForm:
    """How a call's images are answered, from its Accept header and its parameters; made before the work is done."""

    offered = PNG, JSON

    def __init__(
        self,
        request: Request,
        settings: SettingsDep,
        columns: Annotated[
            int | None, Query(ge=1, le=MAX_COLUMNS, description="Of the contact sheet; left out, about square.")
        ] = None,
        scale: Scale = 1,
    ) -> None:
        self.media = choose(request, self.offered)
        self.columns, self.scale = columns, scale
        self._limit = settings.max_sheet_pixels

    def check(self, count: int, model: Model) -> None:
        """Raises: LimitError: if the contact sheet of `count` images would be too large."""
        height, width = sheet_size(count, *model.image_shape, self.columns, self.scale)
        if self.media == PNG and height * width > self._limit:
            raise LimitError("pixels of the PNG", "max_sheet_pixels", self._limit, height * width)

    def answer(self, model: str, images: Array, **others: Any) -> Response:
        """One image as itself, several as a contact sheet; or JSON, with `others` beside them."""
        if self.media == PNG:
            return Response(contact_sheet(images, self.columns, self.scale), media_type=PNG)
        encoded = [base64.b64encode(png(image)).decode() for image in images]
        return json_answer({"model": model, "images": encoded} | others)


class StripForm(ImageForm):
    """Likewise, but for the columns: without a number of them the images stand in one row."""

    def __init__(
        self,
        request: Request,
        settings: SettingsDep,
        columns: Annotated[
            int | None, Query(ge=1, le=MAX_COLUMNS, description="Of the contact sheet; left out, one row.")
        ] = None,
        scale: Scale = 1,
    ) -> None:
        super().__init__(request, settings, columns or MAX_COLUMNS, scale)


class MapForm(ImageForm):
    """How a map is answered: as numbers, or as a square picture of `size` images a side."""

    offered = JSON, PNG

    def __init__(
        self,
        request: Request,
        settings: SettingsDep,
        size: Annotated[int, Query(ge=1, le=MAX_COLUMNS, description="How many images a side the PNG has.")] = 20,
        scale: Scale = 1,
    ) -> None:
        super().__init__(request, settings, size, scale)
        self.size = size


ImageFormDep = Annotated[ImageForm, Depends()]
StripFormDep = Annotated[StripForm, Depends()]
MapFormDep = Annotated[MapForm, Depends()]
