"""The OpenAPI schema: every form of every call, with examples that run as they stand on the models that are served."""

import base64
from importlib.resources import files
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.answers import JSON, PNG
from app.bodies import IMAGE_TYPES, MULTIPART
from app.engine import Model
from app.errors import PROBLEM_JSON
from app.images import read_image
from app.schemas import ImageFiles, ImagePixels, Latents, Problem, SampleRequest

DESCRIPTION = """
Trained variational autoencoders over HTTP: **encode** an image to the mean and variance of its code, **decode** a code
to an image, **sample** new digits from standard Gaussian noise. Every call here runs as it stands: press *Execute*.
"""

BINARY = {"type": "string", "format": "binary"}


def describe(app: FastAPI, model: Model) -> dict[str, Any]:
    """The schema, made once: what FastAPI derives from the routes, and what they read and write by hand."""
    if app.openapi_schema is None:
        app.openapi_schema = _describe(app, model)
    return app.openapi_schema


def _describe(app: FastAPI, model: Model) -> dict[str, Any]:
    schema = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
    )
    components = schema["components"]["schemas"]
    for kind in (ImageFiles, ImagePixels, Latents, SampleRequest, Problem):
        components[kind.__name__] = kind.model_json_schema(ref_template="#/components/schemas/{model}")
    for name in ("HTTPValidationError", "ValidationError"):
        components.pop(name, None)

    bodies = _bodies(model)
    for path in schema["paths"].values():
        for operation in path.values():
            name = operation["operationId"]
            if name in bodies:
                operation["requestBody"] = {"required": True, "content": bodies[name]}
            if name in ("decode", "reconstruct", "sample", "sample_with_body"):
                content = operation["responses"]["200"]["content"]
                operation["responses"]["200"]["content"] = {PNG: {"schema": BINARY}} | content
            operation["responses"].pop("422", None)
            problem = {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}
            operation["responses"]["default"] = {"description": "Why the call failed", "content": problem}
    examples = {"name": model.name, "count": 16, "seed": 7, "scale": 4}
    for operation in (operation for path in schema["paths"].values() for operation in path.values()):
        for parameter in operation.get("parameters", []):
            if parameter["name"] in examples:
                parameter["example"] = examples[parameter["name"]]
    return schema


def _bodies(model: Model) -> dict[str, dict[str, Any]]:
    """What each call that takes a body takes, by operation: media type -> schema and examples."""
    digit = files("app").joinpath("web/seven.png").read_bytes()
    pixels = read_image(digit).pixels
    base64_digit = base64.b64encode(digit).decode()
    examples = {
        "file": {"summary": "A file", "value": {"images": [base64_digit]}},
    }
    if pixels.shape == model.image_shape:
        rows = [[round(float(value), 3) for value in row] for row in pixels]
        examples["numbers"] = {"summary": "Numbers", "value": {"pixels": [rows]}}
        code = [round(float(value), 3) for value in model.encode(pixels[None]).mean[0]]
    else:
        code = [0.0] * model.latents
    form = {"type": "object", "required": ["images"], "properties": {"images": {"type": "array", "items": BINARY}}}
    images = {
        JSON: {"schema": {"anyOf": [_ref("ImageFiles"), _ref("ImagePixels")]}, "examples": examples},
        MULTIPART: {"schema": form},
    } | {media: {"schema": BINARY} for media in IMAGE_TYPES}
    return {
        "encode": images,
        "reconstruct": images,
        "decode": {JSON: {"schema": _ref("Latents"), "example": {"latents": [code]}}},
        "sample_with_body": {
            JSON: {"schema": _ref("SampleRequest"), "example": {"count": 16, "seed": 7, "temperature": 1.0}}
        },
    }


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
