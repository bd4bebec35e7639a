"""Swagger UI works without internet, and every example that it shows runs as it stands."""

import json
import re
from html.parser import HTMLParser

import pytest
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings


class Links(HTMLParser):
    """What a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [v for k, v in attrs if k in ("src", "href") and v and tag in ("script", "link", "img")]


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_the_page_loads_nothing_from_elsewhere(client: TestClient, page: str) -> None:
    text = client.get(page).text
    links = Links()
    links.feed(text)
    assert any(link.endswith(".js") for link in links.found)
    for link in links.found:
        assert link.startswith("/") and not link.startswith("//")
        assert client.get(link).status_code == 200
    assert not re.findall(r"https?://(?!www\.w3\.org)", text)


def test_the_root_leads_to_the_page(client: TestClient) -> None:
    assert client.get("/").url.path == "/docs"


def _operations(client: TestClient):
    schema = client.get("/openapi.json").json()
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


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
        content = operation.get("requestBody", {}).get("content", {"none": {"example": None}})
        first = next(iter(content.values()))  # what Swagger UI offers first
        examples = [e["value"] for e in first.get("examples", {}).values()] or [first["example"]]
        for example in examples:
            for media in operation["responses"]["200"]["content"]:
                answer = client.request(method, path, params=query, json=example, headers={"accept": media})
                assert answer.status_code == 200, (path, answer.text)
                assert answer.headers["content-type"].partition(";")[0] == media
        ran.add(operation["operationId"])
    assert ran == {
        "encode",
        "decode",
        "reconstruct",
        "interpolate",
        "score",
        "sample",
        "sample_with_body",
        "list_models",
        "get_model",
        "get_map",
        "healthz",
        "readyz",
    }


@pytest.mark.parametrize("default", ["tiny-ae", "tiny-dae", "tiny-conv"])
def test_every_example_runs_whatever_the_default_can(checkpoints, default: str) -> None:
    models = [str(checkpoints[name]) for name in (default, "tiny-2d")]
    with TestClient(create_app(Settings(models=models))) as client:
        test_every_example_runs_as_it_stands(client)


def test_references_resolve_and_errors_are_problems(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    names = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(schema)))
    assert names <= schema["components"]["schemas"].keys()
    assert "Problem" in names and "HTTPValidationError" not in schema["components"]["schemas"]
    for _, _, operation in _operations(client):
        assert "application/problem+json" in operation["responses"]["default"]["content"]


def test_the_decode_example_is_the_encode_example(client: TestClient) -> None:
    operations = {operation["operationId"]: operation for _, _, operation in _operations(client)}
    image = operations["encode"]["requestBody"]["content"]["application/json"]["examples"]["file"]["value"]
    latents = operations["decode"]["requestBody"]["content"]["application/json"]["example"]["latents"]
    mean = client.post("/v1/encode", json=image).json()["mean"]
    assert max(abs(a - b) for a, b in zip(latents[0], mean[0], strict=True)) <= 0.001
