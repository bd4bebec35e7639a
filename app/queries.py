"""What calls take as parameters of their addresses, and how that is read.

FastAPI's own parameters cost a request more than its forward pass; one validation of one model costs next to nothing.
"""

from collections import Counter
from functools import cache
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.errors import ParameterError
from app.images import Fit, Polarity
from app.interpolation import InterpolationPath
from app.schemas import SampleFields, misfit

MAX_COLUMNS = 1024
STEPS, SIZE = 8, 20  # where nothing else is asked for, or as many as may be


class NoQuery(BaseModel):
    """Nothing. A parameter that a call does not know is an error: a misspelt one would silently have no effect."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelQuery(NoQuery):
    """Whom to ask."""

    model: str | None = Field(None, description="The model's name; left out, the default model.")


class PictureQuery(ModelQuery):
    """And how a picture becomes the model's input."""

    fit: Fit | None = Field(
        None,
        description="How a picture becomes the model's input: `digit` crops to the ink, scales it and centres it by "
        "mass, as MNIST was made; `stretch` resizes the whole. Left out, a grey picture that has the model's size is "
        "used as it is, and any other is fitted as a `digit`.",
    )
    polarity: Polarity = Field(
        "auto", description="What the strokes are; `auto` looks, and the model sees light on dark."
    )


class ScaleQuery(NoQuery):
    """How a PNG is drawn."""

    scale: int = Field(1, ge=1, le=16, description="How many pixels wide a pixel of the PNG is.")


class SheetQuery(ScaleQuery):
    """And how a contact sheet is."""

    columns: int | None = Field(None, ge=1, le=MAX_COLUMNS, description="Of the contact sheet; left out, about square.")


class MapQuery(ScaleQuery):
    """And how a map is."""

    size: int | None = Field(
        None, ge=1, le=MAX_COLUMNS, description=f"How many images a side the PNG has; left out, {SIZE} or fewer."
    )


class DecodeQuery(SheetQuery, ModelQuery):
    """From latents to images."""


class ReconstructQuery(SheetQuery, PictureQuery):
    """From images to images."""


class InterpolateQuery(SheetQuery, PictureQuery):
    """Between two."""

    columns: int | None = Field(None, ge=1, le=MAX_COLUMNS, description="Of the contact sheet; left out, one row.")
    steps: int | None = Field(
        None, ge=2, description=f"How many images, the two ends' included; left out, {STEPS} or fewer."
    )
    path: InterpolationPath = Field(
        "linear",
        description="`linear` is straight in the latents; `spherical` is a great circle in the noise that the prior "
        "turns into codes, and stays where draws lie: for models that generate.",
    )


class SampleQuery(SampleFields, SheetQuery, ModelQuery):
    """From noise to images."""


Q = TypeVar("Q", bound=NoQuery)


@cache
def _unasked(kind: type[Q]) -> Q:
    return kind()


def read_query(request: Request, kind: type[Q]) -> Q:
    """The parameters of a request's address, each of which it may have once. Raises: ParameterError."""
    if not request.scope["query_string"]:
        unasked: Q = _unasked(kind)
        return unasked
    given = Counter(name for name, _ in request.query_params.multi_items())
    if repeated := [name for name, times in given.items() if times > 1]:
        found = ", ".join(sorted(repeated))[:200]
        raise ParameterError(f"query: expected every parameter at most once, found more than one {found}")
    try:
        return kind.model_validate_strings(dict(request.query_params))
    except ValidationError as error:
        raise ParameterError(misfit("query", kind, error)) from error


async def no_query(request: Request) -> None:
    """Of a call without parameters. Raises: ParameterError."""
    read_query(request, NoQuery)


def described(kind: type[NoQuery]) -> dict[str, Any]:
    """The parameters as OpenAPI has them, for a route's `openapi_extra`."""
    properties: dict[str, dict[str, Any]] = kind.model_json_schema()["properties"]
    return {
        "parameters": [
            {
                "name": name,
                "in": "query",
                "required": False,
                "description": schema["description"],
                "schema": _asked(schema),
            }
            for name, schema in properties.items()
        ]
    }


def _asked(schema: dict[str, Any]) -> dict[str, Any]:
    """What a parameter is where it is not left out: an address has no null."""
    if "anyOf" in schema:
        kind: dict[str, Any] = schema["anyOf"][0]
        return {"title": schema["title"]} | kind
    return {key: value for key, value in schema.items() if key != "description"}
