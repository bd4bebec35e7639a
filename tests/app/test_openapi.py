"""Swagger UI works without internet, and every example that it shows runs as it stands."""

import base64
import io
import json
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save
from starlette.testclient import TestClient

from app.images import read_image
from app.main import create_app
from app.settings import Settings
from app.tensors import write_npy
from tests.app.v2 import binary_body


class Links(HTMLParser):
    """What a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [v for k, v in attrs if k in ("src", "href") and v and tag in ("script", "link", "img")]


def test_the_page_loads_nothing_from_elsewhere(client: TestClient) -> None:
    text = client.get("/docs").text
    links = Links()
    links.feed(text)
    assert any(link.endswith(".js") for link in links.found)
    for link in links.found:
        assert not link.startswith("/") and ":" not in link  # beside the page, wherever a proxy has it
        assert client.get(f"/{link}").status_code == 200
    assert not re.findall(r"https?://(?!www\.w3\.org)", text)


def test_there_is_no_page_that_would(client: TestClient) -> None:
    assert client.get("/redoc").status_code == 404


def _operations(client: TestClient):
    schema = client.get("/openapi.json").json()
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _requests(media: str, form: dict[str, Any], content: dict[str, Any]) -> list[dict[str, Any]]:
    """Bodies of that type: the examples of JSON; and of a file, which can have none, JSON's own made into one."""
    headers = {"headers": {"content-type": media}}
    described = content["application/json"]
    examples = [e["value"] for e in described.get("examples", {}).values()] or [described["example"]]
    if media == "application/json":
        return [{"json": example} | headers for example in examples]
    assert form["schema"], media
    if media == "application/octet-stream":
        return [_as_bytes(example, media) for example in examples]
    members = {name: value for example in examples for name, value in example.items()}
    files = [base64.b64decode(file) for file in members.get("images", [])]
    if media == "multipart/form-data":
        assert form["schema"]["properties"].keys() == {"images"}
        return [{"files": [("images", file) for file in files]}]
    if media.startswith("image/"):
        target = io.BytesIO()
        Image.open(io.BytesIO(files[0])).convert("RGB").save(target, media.removeprefix("image/").upper())
        return [{"content": target.getvalue()} | headers]
    arrays = {"images": np.stack([read_image(file).pixels for file in files])} if files else {}
    if "latents" in members:
        arrays["latents"] = np.array(members["latents"], np.float32)
    if media == "application/x-npy":
        return [{"content": write_npy(array)} | headers for array in arrays.values()]
    assert media == "application/vnd.safetensors"
    return [{"content": save({name: array})} | headers for name, array in arrays.items()]


def _as_bytes(example: dict[str, Any], media: str) -> dict[str, Any]:
    """An inference whose tensors are bytes, and whose answer's are."""
    (given,) = example["inputs"]
    data = bytes(given["data"])
    described = {name: given[name] for name in ("name", "datatype", "shape")}
    described["parameters"] = {"binary_data_size": len(data)}
    body, headers = binary_body({"inputs": [described], "parameters": {"binary_data_output": True}}, data)
    return {"content": body, "headers": headers | {"content-type": media}}


def test_every_example_runs_as_it_stands(client: TestClient) -> None:
    ran = set()
    for path, method, operation in _operations(client):
        query = {}
        for parameter in operation.get("parameters", []):
            if "example" not in parameter:
                assert not parameter["required"], f"{path}: {parameter['name']} needs an example"
            elif parameter["in"] == "path":
                path = path.replace(f"{{{parameter['name']}}}", parameter["example"])
            else:
                query[parameter["name"]] = parameter["example"]
        content = operation.get("requestBody", {}).get("content", {})
        requests = [request for media, form in content.items() for request in _requests(media, form, content)]
        assert content.keys() <= {"multipart/form-data"} | {
            request["headers"]["content-type"] for request in requests if "headers" in request
        }
        for request in requests or [{}]:
            offered = operation["responses"]["200"]["content"]
            if operation["operationId"] == "v2_infer":  # the form of whose answer is not asked for by Accept
                offered = {request["headers"]["content-type"]} & offered.keys()
                assert offered
            for media in offered:
                headers = request.get("headers", {}) | {"accept": media}
                answer = client.request(method, path, params=query, **request | {"headers": headers})
                assert answer.status_code == 200, (path, request, answer.text)
                assert answer.headers["content-type"].partition(";")[0] == media
        ran.add(operation["operationId"])
    assert ran == {
        "encode",
        "decode",
        "reconstruct",
        "fit",
        "interpolate",
        "score",
        "sample",
        "sample_with_body",
        "list_models",
        "get_model",
        "get_map",
        "healthz",
        "readyz",
        "metrics",
        "v2_server",
        "v2_live",
        "v2_ready",
        "v2_model",
        "v2_model_ready",
        "v2_model_config",
        "v2_model_statistics",
        "v2_statistics",
        "v2_infer",
        "v2_index",
    }


@pytest.mark.parametrize("default", ["tiny-ae", "tiny-dae", "tiny-conv"])
def test_every_example_runs_whatever_the_default_can(checkpoints, default: str) -> None:
    models = [str(checkpoints[name]) for name in (default, "tiny-2d")]
    with TestClient(create_app(Settings(models=models))) as client:
        test_every_example_runs_as_it_stands(client)


@pytest.mark.parametrize("max_samples", [5, 50])
def test_every_example_runs_where_few_images_are_drawn_at_once(checkpoints, max_samples: int) -> None:
    with TestClient(create_app(Settings(models=[str(checkpoints["tiny-2d"])], max_samples=max_samples))) as client:
        test_every_example_runs_as_it_stands(client)


def test_every_example_runs_where_few_steps_are_taken(checkpoints) -> None:
    with TestClient(create_app(Settings(models=[str(checkpoints["tiny-2d"])], max_steps=4))) as client:
        test_every_example_runs_as_it_stands(client)


def test_bytes_among_tensors_are_described(client: TestClient) -> None:
    described = {operation["operationId"]: operation for _, _, operation in _operations(client)}
    infer = described["v2_infer"]
    assert {"application/json", "application/octet-stream"} == infer["requestBody"]["content"].keys()
    assert {"application/json", "application/octet-stream"} == infer["responses"]["200"]["content"].keys()
    named = {parameter["name"] for parameter in infer["parameters"] if parameter["in"] == "header"}
    assert named == {"Inference-Header-Content-Length"} and named < infer["responses"]["200"]["headers"].keys()


def test_a_body_that_is_not_needed_is_not_required(client: TestClient) -> None:
    for path, method, operation in _operations(client):
        if "requestBody" in operation:
            needed = client.request(method, path.replace("{name}", "mnist-mlp.encode")).status_code != 200
            assert operation["requestBody"]["required"] == needed, path


def test_references_resolve_and_errors_are_problems(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    names = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(schema)))
    assert names <= schema["components"]["schemas"].keys()
    assert "Problem" in names and "HTTPValidationError" not in schema["components"]["schemas"]
    for path, _, operation in _operations(client):
        media = "application/json" if path.startswith("/v2") else "application/problem+json"
        assert list(operation["responses"]["default"]["content"]) == [media]


def test_headers_are_described_where_they_are_sent(checkpoints) -> None:
    settings = Settings(models=[str(checkpoints["tiny-2d"])], rate_limit="1000/second")
    told = {"X-Request-ID", "Server-Timing", "X-Seed", "RateLimit", "RateLimit-Policy", "Retry-After"}
    with TestClient(create_app(settings)) as client:
        for path, method, operation in _operations(client):
            if method == "get" and "body" not in operation:
                answer = client.get(path.replace("{name}", "tiny-2d.encode" if "v2" in path else "tiny-2d"))
                assert answer.status_code == 200, path
                described = operation["responses"]["200"]["headers"].keys()
                assert described == {name for name in told if name in answer.headers}, path
        encoded = client.post("/v1/encode", json={"pixels": [[0.0] * 64]})
        described = {operation["operationId"]: operation for _, _, operation in _operations(client)}["encode"]
        assert described["responses"]["200"]["headers"].keys() == {name for name in told if name in encoded.headers}
        assert "Retry-After" in described["responses"]["default"]["headers"]


def test_limits_are_described_as_the_settings_have_them(checkpoints) -> None:
    limits = {"max_images": 3, "max_latents": 4, "max_samples": 5, "max_steps": 6}
    with TestClient(create_app(Settings(models=[str(checkpoints["tiny-2d"])], **limits))) as client:
        schema = client.get("/openapi.json").json()
    members = schema["components"]["schemas"]
    assert members["ImageFiles"]["properties"]["images"]["maxItems"] == 3
    assert members["ImagePixels"]["properties"]["pixels"]["maxItems"] == 3
    assert members["Latents"]["properties"]["latents"]["maxItems"] == 4
    assert members["SampleRequest"]["properties"]["count"]["maximum"] == 5
    assert "maxItems" not in members["SampleAnswer"]["properties"]["images"]

    def maximum(path: str, method: str, name: str) -> int:
        (found,) = (p["schema"]["maximum"] for p in schema["paths"][path][method]["parameters"] if p["name"] == name)
        return int(found)

    assert maximum("/v1/sample", "get", "count") == 5
    assert maximum("/v1/interpolate", "post", "steps") == 6
    assert maximum("/v1/models/{name}/map", "get", "size") == 2
    form = schema["paths"]["/v1/encode"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"]["images"]["maxItems"] == 3


def test_the_decode_example_is_the_encode_example(client: TestClient) -> None:
    operations = {operation["operationId"]: operation for _, _, operation in _operations(client)}
    image = operations["encode"]["requestBody"]["content"]["application/json"]["examples"]["file"]["value"]
    latents = operations["decode"]["requestBody"]["content"]["application/json"]["example"]["latents"]
    mean = client.post("/v1/encode", json=image).json()["mean"]
    assert max(abs(a - b) for a, b in zip(latents[0], mean[0], strict=True)) <= 0.001
