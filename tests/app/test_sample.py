"""/v1/sample: new images from standard Gaussian noise."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from models.checkpoint import load_checkpoint
from tests.app.problems import assert_problem

JSON = {"accept": "application/json"}


def test_the_same_seed_gives_the_same_picture_on_two_services(client: TestClient) -> None:
    link = "/v1/sample?count=16&seed=7"
    first, again = client.get(link), client.get(link)
    with TestClient(create_app(Settings(models="mnist-mlp"))) as other:
        elsewhere = other.get(link)
    assert first.headers["content-type"] == "image/png" and first.headers["x-seed"] == "7"
    assert first.content == again.content == elsewhere.content
    assert client.get("/v1/sample?count=16&seed=8").content != first.content


def test_post_and_get_agree(client: TestClient) -> None:
    posted = client.post("/v1/sample", json={"count": 4, "seed": 3, "temperature": 0.5}, headers=JSON)
    got = client.get("/v1/sample?count=4&seed=3&temperature=0.5", headers=JSON)
    assert posted.json() == got.json()
    assert posted.json().keys() == {"model", "images", "latents", "seed", "temperature"}


def test_an_image_of_a_seed_does_not_depend_on_the_count(client: TestClient) -> None:
    few = client.get("/v1/sample?count=2&seed=1", headers=JSON).json()
    many = client.get("/v1/sample?count=64&seed=1", headers=JSON).json()
    assert many["latents"][:2] == few["latents"]
    pictures = [[Image.open(io.BytesIO(base64.b64decode(i))) for i in d["images"][:2]] for d in (few, many)]
    for a, b in zip(*pictures, strict=True):
        assert np.abs(np.asarray(a, int) - np.asarray(b, int)).max() <= 1


def test_the_noise_is_standard_gaussian_and_temperature_scales_it(client: TestClient) -> None:
    latents = [client.get(f"/v1/sample?count=64&seed={s}", headers=JSON).json()["latents"] for s in range(10)]
    z = np.concatenate(latents)  # 640 x 50 numbers: the mean's standard error is 0.0056
    assert abs(z.mean()) < 0.03 and abs(z.std() - 1) < 0.03
    cold = client.get("/v1/sample?count=64&seed=0&temperature=0.5", headers=JSON).json()["latents"]
    np.testing.assert_allclose(cold, 0.5 * np.asarray(latents[0]), rtol=1e-5)


def test_decoding_the_latents_gives_the_images(client: TestClient) -> None:
    drawn = client.get("/v1/sample?count=8&seed=5", headers=JSON).json()
    decoded = client.post("/v1/decode", json={"latents": drawn["latents"]}, headers=JSON).json()
    assert decoded["images"] == drawn["images"]


def test_a_flow_turns_the_noise_into_codes(client: TestClient, checkpoints) -> None:
    """The latents are the codes: brought back to noise, they are what a model without a flow draws."""
    flow = load_checkpoint(checkpoints["tiny-flow"]).model
    drawn = client.get("/v1/sample?count=400&seed=1&temperature=0.7&model=tiny-flow", headers=JSON).json()
    noise = flow.to_noise(torch.tensor(drawn["latents"])).numpy()
    epsilon = np.random.Generator(np.random.Philox(1)).standard_normal((400, 5), dtype=np.float32)
    np.testing.assert_allclose(noise, np.float32(0.7) * epsilon, atol=1e-4)
    assert np.abs(np.asarray(drawn["latents"]) - 0.7 * epsilon).max() > 0.1
    decoded = client.post("/v1/decode?model=tiny-flow", json={"latents": drawn["latents"][:8]}, headers=JSON).json()
    assert decoded["images"] == drawn["images"][:8]


@pytest.mark.parametrize("name", ["tiny-ae", "tiny-dae"])
def test_a_deterministic_model_says_what_it_can(client: TestClient, name: str) -> None:
    for answer in (client.get(f"/v1/sample?model={name}"), client.post(f"/v1/sample?model={name}", json={})):
        detail = assert_problem(answer, 409, "not-generative")["detail"]
        assert detail.startswith(f"{name} is a deterministic autoencoder")
        assert "it can encode, decode, reconstruct, interpolate" in detail and "sample" not in detail


def test_without_a_seed_one_is_drawn_and_told(client: TestClient) -> None:
    first, second = client.get("/v1/sample"), client.get("/v1/sample")
    assert first.headers["x-seed"] != second.headers["x-seed"]
    assert first.headers["cache-control"] == "no-store"
    assert client.get(f"/v1/sample?seed={first.headers['x-seed']}").content == first.content


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("*/*", "image/png"),
        ("image/*", "image/png"),
        ("application/json, image/png;q=0.5", "application/json"),
        ("application/json;q=0.2, */*;q=0.1", "application/json"),
        ("text/html, image/png;q=0.1", "image/png"),
    ],
)
def test_the_answer_takes_the_form_that_is_accepted(client: TestClient, accept: str, media: str) -> None:
    assert client.get("/v1/sample", headers={"accept": accept}).headers["content-type"] == media


@pytest.mark.parametrize("accept", ["text/html", "image/png;q=0", "*/*;q=0"])
def test_what_nobody_accepts_is_a_problem(client: TestClient, accept: str) -> None:
    problem = assert_problem(client.get("/v1/sample", headers={"accept": accept}), 406, "not-acceptable")
    assert "image/png" in problem["detail"] and accept in problem["detail"]


def test_a_picture_that_would_be_too_large_is_refused_before_it_is_made() -> None:
    with TestClient(create_app(Settings(models="mnist-mlp", max_sheet_pixels=28 * 57))) as small:
        assert small.get("/v1/sample?count=2").status_code == 200  # 28 x 57 pixels
        problem = assert_problem(small.get("/v1/sample?count=2&scale=2"), 422, "limit-exceeded")
        assert "REPARAM_MAX_SHEET_PIXELS" in problem["detail"]
        assert small.get("/v1/sample?count=2&scale=2", headers=JSON).status_code == 200


@pytest.mark.parametrize(
    ("query", "name", "words"),
    [
        ("count=0", "invalid-parameter", "count"),
        ("count=x", "invalid-parameter", "'x'"),
        ("count=401", "limit-exceeded", "REPARAM_MAX_SAMPLES"),
        ("seed=-1", "invalid-parameter", "seed"),
        (f"seed={2**63}", "invalid-parameter", "seed"),
        ("temperature=nan", "invalid-parameter", "finite"),
        ("temperature=11", "invalid-parameter", "temperature"),
        ("scale=17", "invalid-parameter", "scale"),
    ],
)
def test_bad_parameters_are_problems(client: TestClient, query: str, name: str, words: str) -> None:
    assert words in assert_problem(client.get(f"/v1/sample?{query}"), 422, name)["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"count": "many"}',
        b'{"count": 0}',
        b'{"count": true}',
        b'{"count": "2"}',
        b'{"seed": -1}',
        b'{"seed": false}',
        b'{"temperature": true}',
        b'{"sed": 1}',
    ],
)
def test_bad_bodies_are_problems(client: TestClient, body: bytes) -> None:
    answer = client.post("/v1/sample", content=body, headers={"content-type": "application/json"})
    assert_problem(answer, 422, "malformed-request")


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"count": None}, "count: expected a number, found null"),
        ({"temperature": None}, "temperature: expected a number, found null"),
        ({"seed": [True]}, "seed: expected a number, found a list"),
        ({"seed": {}}, "seed: expected a number, found an object"),
    ],
)
def test_what_is_no_number_is_told_in_the_words_of_json(
    client: TestClient, body: dict[str, object], found: str
) -> None:
    detail = assert_problem(client.post("/v1/sample", json=body), 422, "malformed-request")["detail"]
    assert detail == f"body: {found}"
    told = client.post("/v2/models/mnist-mlp.sample/infer", json={"parameters": body})
    assert told.status_code == 400 and told.json() == {"error": f"sample: {found}"}


def test_a_seed_that_is_null_is_drawn(client: TestClient) -> None:
    first, second = (client.post("/v1/sample", json={"seed": None}).headers["x-seed"] for _ in range(2))
    assert first != second


def test_a_member_that_is_not_known_is_told_with_those_that_are(client: TestClient) -> None:
    answer = client.post("/v1/sample", json={"model": "tiny-2d", "sed": 1})
    detail = assert_problem(answer, 422, "malformed-request")["detail"]
    assert detail == "body: expected count, seed, temperature, found model, sed"
