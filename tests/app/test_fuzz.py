"""Every operation of the schema, with data that fits it and data that does not."""

import io
import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import load, save
from schemathesis import Case, GenerationMode
from schemathesis.config import SchemathesisConfig
from schemathesis.python import asgi
from schemathesis.specs.openapi.checks import positive_data_acceptance
from schemathesis.specs.openapi.schemas import OpenApiSchema

from app.main import create_app
from app.oip import FUNCTIONS
from app.settings import Settings

WIDTHS = {"tiny-2d": 2, "tiny-flow": 5, "tiny-ae": 2}
LIMITS = {"max_images": 4, "max_latents": 4, "max_samples": 30, "max_steps": 5, "max_body_bytes": 100_000}
EXAMPLES = 15  # of each operation, fitting and not


@pytest.fixture(scope="module")
def service(checkpoints, seven: bytes) -> Iterator[OpenApiSchema]:
    app = create_app(Settings(models=[str(checkpoints[name]) for name in WIDTHS], access_log=False, **LIMITS))
    with asgi.get_client(app) as client:
        told = _told(client.get("/openapi.json").json(), seven)
    schema = schemathesis.openapi.from_dict(told, config=SchemathesisConfig(seed=1))
    schema.app = app
    yield schema
    asgi.shutdown_lifespans()


def _told(schema: dict[str, Any], picture: bytes) -> dict[str, Any]:
    """The schema, told what it leaves open, so that calls get past the door: names, widths, and a real picture."""
    for path, operations in schema["paths"].items():
        for parameter in (p for operation in operations.values() for p in operation.get("parameters", [])):
            if parameter["name"] in ("name", "model"):
                functions = [f"{model}.{function}" for model in WIDTHS for function in FUNCTIONS]
                names = functions if path.startswith("/v2") else [*WIDTHS]
                parameter["schema"] = {"type": "string", "enum": names}
    components = schema["components"]["schemas"]
    components["ImageFiles"]["properties"]["images"]["items"] = {"enum": [b64encode(picture).decode()]}
    number = {"type": "number"}
    rows = [{"type": "array", "items": number, "minItems": width, "maxItems": width} for width in {*WIDTHS.values()}]
    components["Latents"]["properties"]["latents"] |= {"items": {"anyOf": rows}, "maxItems": 4}
    members = components["InferInput"]["properties"]
    members["name"]["enum"] = ["images", "latents", "count", "seed", "temperature"]
    members["datatype"]["enum"] = ["FP32", "FP64", "INT64", "UINT8"]
    return schema


@st.composite
def _arrays(draw: st.DrawFn) -> tuple[str, np.ndarray]:
    """Images or latents, and a name for them; of some shape that is taken, or almost, with any numbers."""
    shape = draw(st.sampled_from([(1, 2), (2, 5), (2, 784), (1, 28, 28), (2, 1, 28, 28), (0, 2), (5, 2), (2,), ()]))
    dtype = draw(st.sampled_from(["<f4", "<f2", ">f8", "u1", "<i8"]))
    whole = np.dtype(dtype).kind in "ui"
    elements = st.integers(0, 1) if whole else st.sampled_from([0.0, 0.25, 0.5, 1.0, -3.0, 1e4, np.nan, np.inf])
    return draw(st.sampled_from(["images", "latents"])), draw(arrays(dtype, shape, elements=elements))


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


schemathesis.openapi.media_type("application/x-npy", _arrays().map(lambda found: _npy(found[1])))
schemathesis.openapi.media_type("application/vnd.safetensors", _arrays().map(lambda found: save(dict([found]))))


def _check(answer: schemathesis.Response) -> None:
    """What the schema cannot say: problems have all their members, and numbers are finite."""
    media = answer.headers["content-type"][0].partition(";")[0]
    if answer.status_code >= 400:
        assert answer.status_code in (400, 404, 406, 409, 413, 415, 422), answer.text
        document = answer.json()
        if "error" in document:
            assert (media, document.keys()) == ("application/json", {"error"})
            return
        assert media == "application/problem+json"
        assert document.keys() == {"type", "title", "status", "detail", "request_id"}
        assert document["status"] == answer.status_code and document["request_id"] == answer.headers["x-request-id"][0]
    elif media == "application/x-npy":
        assert np.isfinite(np.load(io.BytesIO(answer.content))).all()
    elif media == "application/vnd.safetensors":
        assert all(np.isfinite(values).all() for values in load(answer.content).values())
    elif media == "application/json":
        json.loads(answer.content, parse_constant=pytest.fail)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_operation_answers_as_its_schema_says(
    service: OpenApiSchema, mode: GenerationMode, subtests: pytest.Subtests
) -> None:
    for found in service.get_all_operations():
        operation = found.ok()
        if mode is GenerationMode.NEGATIVE and not operation.body and not [*operation.iter_parameters()]:
            continue  # there is nothing to get wrong
        media = [*operation.definition.raw["responses"]["200"]["content"], "*/*"]

        @seed(1)
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=[*HealthCheck],
        )
        @given(operation.as_strategy(mode), st.sampled_from(media))
        def run(case: Case, accept: str) -> None:
            case.headers["Accept"] = accept
            answer = case.call(session=client)
            # The schema allows any bytes as a file, and leaves the limits to the settings.
            case.validate_response(answer, excluded_checks=[positive_data_acceptance])
            _check(answer)

        with subtests.test(operation.label), asgi.get_client(service.app) as client:
            run()
