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
    assert card["prior"] == {"kind": "standard-normal"} and card["likelihood"] == {"kind": "bernoulli"}


def test_the_cards_are_listed_with_the_default(client: TestClient, checkpoints) -> None:
    listed = client.get("/v1/models").json()
    assert listed["default"] == "mnist-mlp"  # the first that the settings of this service name
    assert [card["name"] for card in listed["models"]] == ["mnist-mlp", *checkpoints]
    for card in listed["models"]:
        assert client.get(f"/v1/models/{card['name']}").json() == card


CAN = ["encode", "decode", "reconstruct", "interpolate", "score"]


@pytest.mark.parametrize(
    ("name", "generative", "more"),
    [
        ("tiny-linear", True, ["sample"]),
        ("tiny-ae", False, ["map"]),
        ("tiny-dae", False, []),
        ("tiny-2d", True, ["sample", "map"]),
        ("tiny-2d-flow", True, ["sample"]),
        ("tiny-conv", True, ["sample"]),
        ("tiny-flow", True, ["sample"]),
    ],
)
def test_the_card_says_what_a_model_can(client: TestClient, name: str, generative: bool, more: list[str]) -> None:
    card = client.get(f"/v1/models/{name}").json()
    assert (card["generative"], card["capabilities"]) == (generative, CAN + more)
    assert card["novelty"] == (None if name == "tiny-conv" else {"images": 500, "draws": 8})


def test_every_kind_does_what_its_card_says(client: TestClient, seven: bytes) -> None:
    for card in client.get("/v1/models").json()["models"]:
        model, files = f"?model={card['name']}", [("images", seven)] * 2
        latents = client.post(f"/v1/encode{model}", files=files).json()["mean"]
        calls = {
            "encode": client.post(f"/v1/encode{model}", files=files),
            "decode": client.post(f"/v1/decode{model}", json={"latents": latents}),
            "reconstruct": client.post(f"/v1/reconstruct{model}", files=files),
            "interpolate": client.post(f"/v1/interpolate{model}", files=files),
            "score": client.post(f"/v1/score{model}", files=files),
            "sample": client.get(f"/v1/sample{model}"),
            "map": client.get(f"/v1/models/{card['name']}/map"),
        }
        assert [call for call, answer in calls.items() if answer.status_code == 200] == card["capabilities"]
        for call in calls.keys() - set(card["capabilities"]):
            name = "not-generative" if call == "sample" else "not-capable"
            detail = assert_problem(calls[call], 409, name)["detail"]
            assert detail.startswith(card["name"]) and "it can encode, decode, reconstruct, interpolate" in detail


def test_probes(client: TestClient, checkpoints) -> None:
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready", "models": ["mnist-mlp", *checkpoints]}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/encode"),
        ("POST", "/v1/reconstruct"),
        ("POST", "/v1/interpolate"),
        ("POST", "/v1/score"),
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
    assert_problem(client.get("/v1/models/nobody/map"), 404, "model-not-found")
