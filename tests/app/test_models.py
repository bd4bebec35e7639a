"""GET /v1/models, probes, and calls that name a model."""

import hashlib

import pytest
from starlette.testclient import TestClient

from tests.app.problems import assert_problem


def test_the_card_says_what_the_checkpoint_is(client: TestClient, zoo) -> None:
    card = client.get("/v1/models/mnist-mlp").json()
    assert card["sha256"] == hashlib.sha256((zoo / "mnist-mlp" / "model.safetensors").read_bytes()).hexdigest()
    assert (card["kind"], card["latents"], card["input_shape"]) == ("vae", 50, [1, 28, 28])
    assert card["architecture"] == {"encoder": [256], "latents": 50, "decoder": [256]}
    weights = (784 * 256 + 256) + (256 * 100 + 100) + (50 * 256 + 256) + (256 * 784 + 784)
    assert card["parameters"] == weights
    assert card["capabilities"] == ["encode", "decode", "reconstruct", "sample"]
    assert client.get("/v1/models").json() == {"default": "mnist-mlp", "models": [card]}


def test_probes(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready", "models": ["mnist-mlp"]}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/encode"),
        ("POST", "/v1/reconstruct"),
        ("POST", "/v1/decode"),
        ("POST", "/v1/sample"),
        ("GET", "/v1/sample"),
    ],
)
def test_a_model_may_be_named(client: TestClient, method: str, path: str) -> None:
    problem = assert_problem(client.request(method, f"{path}?model=nobody"), 404, "model-not-found")
    assert "mnist-mlp" in problem["detail"] and "nobody" in problem["detail"]


def test_named_the_default_answers_alike(client: TestClient) -> None:
    named, unnamed = client.get("/v1/sample?seed=1&model=mnist-mlp"), client.get("/v1/sample?seed=1")
    assert named.content == unnamed.content


def test_an_unknown_card_is_a_problem(client: TestClient) -> None:
    assert_problem(client.get("/v1/models/nobody"), 404, "model-not-found")
