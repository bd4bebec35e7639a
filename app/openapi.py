"""The OpenAPI schema: every form of every call, with examples that run as they stand on the models that are served."""

import base64
from collections.abc import Callable
from math import isqrt
from typing import Any

import numpy as np
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.access import declare_keys
from app.access.paths import PROBES
from app.answers import JSON, OCTETS, PNG, ImageForm, MapForm, NumberForm
from app.bodies import ENDS_IN, IMAGES_IN, LATENTS_IN, MULTIPART
from app.engine import Array, Capability, Engine, Model
from app.errors import PROBLEM_JSON, speaks_oip
from app.examples import example_files, example_images
from app.oip.schemas import Error, IndexRequest, InferRequest
from app.schemas import ImageFiles, ImagePixels, Latents, Problem, SampleRequest
from app.settings import Settings

DESCRIPTION = """
Trained variational autoencoders over HTTP: **encode** an image to the mean and variance of its code, **decode** a code
to an image, **sample** new digits from standard Gaussian noise, **interpolate** between two, **score** how usual an
image is. Every call here runs as it stands, where a model that is served can do it: press *Execute*.
"""

BINARY = {"type": "string", "format": "binary"}
FILE = {"schema": BINARY}
SAMPLES = 16  # in the examples, where so many may be drawn
# The forms that a call answers in, by operation, where they are not JSON alone.
ANSWERS = {
    "encode": NumberForm.offered,
    "score": NumberForm.offered,
    "decode": ImageForm.offered,
    "reconstruct": ImageForm.offered,
    "fit": ImageForm.offered,
    "interpolate": ImageForm.offered,
    "sample": ImageForm.offered,
    "sample_with_body": ImageForm.offered,
    "get_map": (PNG, *MapForm.offered),  # Swagger UI asks for the first, and takes seconds to print the numbers
    "v2_infer": (JSON, OCTETS),
}
WITHOUT_BODY = {"v2_index"}  # the calls that take a body and need none
# What not every model can, by operation; the picture of a map needs a prior, as samples do.
NEEDED: dict[str, set[Capability]] = {
    "sample": {"sample"},
    "sample_with_body": {"sample"},
    "get_map": {"map", "sample"},
}
# What a setting bounds: a number that is a parameter or a member, or the length of a list.
NUMBERS: dict[str, Callable[[Settings], int]] = {
    "count": lambda settings: settings.max_samples,
    "steps": lambda settings: settings.max_steps,
    "size": lambda settings: isqrt(settings.max_samples),
}
LISTS = {"images": "max_images", "pixels": "max_images", "latents": "max_latents"}


def _header(description: str, kind: str = "string") -> dict[str, Any]:
    return {"description": description, "schema": {"type": kind}}


REQUEST_ID = {"X-Request-ID": _header("The request's id: the caller's own, or a new one; the log has it")}
TIMING = {"Server-Timing": _header("Where the time went: read, preprocess, queue, infer, encode, in milliseconds")}
SEED = {"X-Seed": _header("The seed that gives the same images again", "integer")}
RATE = {
    "RateLimit-Policy": _header("The limits: q requests in w seconds"),
    "RateLimit": _header("What is left: r requests, until t seconds from now"),
}
RETRY = {"Retry-After": _header("Of 429 and 503: after how many seconds to try again", "integer")}


def describe(app: FastAPI, engine: Engine, settings: Settings) -> dict[str, Any]:
    """The schema: what FastAPI derives from the routes, and what they read and write by hand."""
    schema = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
        servers=[{"url": "./", "description": "this service"}],  # beside the schema, at whatever path a proxy has it
    )
    components = schema["components"]["schemas"]
    for kind in (ImageFiles, ImagePixels, Latents, SampleRequest, Problem, IndexRequest, InferRequest, Error):
        described = kind.model_json_schema(ref_template="#/components/schemas/{model}")
        components |= described.pop("$defs", {})
        components[kind.__name__] = described
        for name, member in described.get("properties", {}).items():
            _bound(name, member, settings)
    for name in ("HTTPValidationError", "ValidationError"):
        components.pop(name, None)

    rate = RATE if settings.rate_limit is not None else {}
    bodies = _bodies(engine.model(), settings)
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            name = operation["operationId"]
            if name in bodies:
                operation["requestBody"] = {"required": name not in WITHOUT_BODY, "content": bodies[name]}
            answer = operation["responses"]["200"]
            answer["headers"] = answer.get("headers", {}) | REQUEST_ID | (rate if path not in PROBES else {})
            if name.startswith("sample"):
                answer["headers"] |= SEED
            if name in ANSWERS or "{name}" in path:  # of a model
                answer["headers"] |= TIMING
            if name in ANSWERS:
                answer["content"] = {media: answer["content"].get(media, FILE) for media in ANSWERS[name]}
            operation["responses"].pop("422", None)
            oip = speaks_oip(path)
            problem = {JSON if oip else PROBLEM_JSON: {"schema": _ref("Error" if oip else "Problem")}}
            operation["responses"]["default"] = {
                "description": "Why the call failed",
                "content": problem,
                "headers": REQUEST_ID | RETRY,
            }
            examples = _examples(engine, name, settings)
            for parameter in operation.get("parameters", []):
                _bound(parameter["name"], parameter["schema"], settings)
                if parameter["name"] in examples:
                    parameter["example"] = examples[parameter["name"]]
    if settings.keyed:
        declare_keys(schema, settings)
    return schema


def _bound(name: str, schema: dict[str, Any], settings: Settings) -> None:
    """Say what the settings take at most, where they bound what is called so."""
    if name in NUMBERS and schema.get("type") == "integer":
        most = NUMBERS[name](settings)
        schema["maximum"] = min(most, schema.get("maximum", most))
    elif name in LISTS:
        schema["maxItems"] = getattr(settings, LISTS[name])


def _examples(engine: Engine, operation: str, settings: Settings) -> dict[str, Any]:
    """Values for the parameters of a call, by name: with them it runs, if a model that is served can do it."""
    able = [model for model in engine.models.values() if NEEDED.get(operation, set()) <= set(model.capabilities)]
    model = engine.model() if engine.model() in able or not able else able[0]
    name = f"{model.name}.encode" if operation.startswith("v2_") else model.name
    examples = {"name": name, "count": min(SAMPLES, settings.max_samples), "seed": 7, "scale": 4}
    return examples if model is engine.model() else examples | {"model": model.name}


def _bodies(model: Model, settings: Settings) -> dict[str, dict[str, Any]]:
    """What each call that takes a body takes, by operation: media type -> schema and examples."""
    pixels = example_images()
    if model.example_codes is not None:
        numbers, codes = _rounded(pixels), _rounded(model.example_codes)
    else:
        numbers = []
        pixels = np.zeros((1, *model.image_shape), np.float32)
        codes = [[0.0] * model.latents, [1.0] * model.latents]
    encoded = [base64.b64encode(file).decode() for file in example_files()]
    images = _images("A file", encoded[:1], numbers[:1], settings.max_images)
    two = _images("Two files", encoded, numbers, 2)
    two[JSON]["schema"]["anyOf"].append(_ref("Latents"))
    two[JSON]["examples"]["latents"] = {"summary": "Latents", "value": {"latents": codes}}
    bytes_ = (pixels[:1] * 255).round().astype(int)
    tensor = {"name": "images", "datatype": "UINT8", "shape": bytes_.shape, "data": bytes_.ravel().tolist()}
    return {
        "encode": _forms(images, IMAGES_IN),
        "reconstruct": _forms(images, IMAGES_IN),
        "fit": _forms(images, IMAGES_IN),
        "interpolate": _forms(two, ENDS_IN),
        "score": _forms(images, IMAGES_IN),
        "decode": _forms({JSON: {"schema": _ref("Latents"), "example": {"latents": codes[:1]}}}, LATENTS_IN),
        "sample_with_body": {
            JSON: {
                "schema": _ref("SampleRequest"),
                "example": {"count": min(SAMPLES, settings.max_samples), "seed": 7, "temperature": 1.0},
            }
        },
        "v2_infer": {
            JSON: {"schema": _ref("InferRequest"), "example": {"id": "1", "inputs": [tensor]}},
            OCTETS: FILE,
        },
        "v2_index": {JSON: {"schema": _ref("IndexRequest"), "example": {"ready": True}}},
    }


def _rounded(array: Array) -> list[Any]:
    """As lists, of numbers that are short to read."""
    numbers: list[Any] = array.astype(np.float64).round(3).tolist()
    return numbers


def _images(summary: str, encoded: list[str], numbers: list[list[list[float]]], most: int) -> dict[str, Any]:
    """At most so many images as JSON, with examples, or as a form."""
    examples: dict[str, Any] = {"file": {"summary": summary, "value": {"images": encoded}}}
    if numbers:
        examples["numbers"] = {"summary": "Numbers", "value": {"pixels": numbers}}
    uploaded = {"type": "array", "items": BINARY, "minItems": 1, "maxItems": most}
    form = {"type": "object", "required": ["images"], "properties": {"images": uploaded}}
    return {
        JSON: {"schema": {"anyOf": [_ref("ImageFiles"), _ref("ImagePixels")]}, "examples": examples},
        MULTIPART: {"schema": form},
    }


def _forms(described: dict[str, Any], taken: tuple[str, ...]) -> dict[str, Any]:
    """Every form that a call takes: those described, and files."""
    return {media: described.get(media, FILE) for media in taken}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
