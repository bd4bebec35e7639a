"""POST /v1/decode: latent vectors to images."""

import asyncio
import base64
import io

import numpy as np
import pytest
from PIL import Image
from sklearn.decomposition import PCA
from starlette.testclient import TestClient

from app.engine import Engine
from models.data import load_mnist
from tests.app.problems import assert_problem

# What the decoded mean may differ from the digit, as a squared error a pixel over 1,000 test digits.
BOUND = 0.007


def test_decoding_the_mean_gives_the_digit_back_better_than_pca(digits, mnist, zoo) -> None:
    x = digits.astype(np.float32) / 255
    model = Engine.load([zoo / "mnist-mlp"]).model()

    async def reconstruct() -> np.ndarray:
        return await model.decode((await model.encode(x)).mean)

    error = np.square(asyncio.run(reconstruct()) - x).mean()
    training = load_mnist(mnist, "train").images.reshape(-1, 784) / 255
    pca = PCA(50).fit(training)
    flat = x.reshape(-1, 784)
    pca_error = np.square(pca.inverse_transform(pca.transform(flat)) - flat).mean()
    assert error <= BOUND < pca_error


def test_over_http_the_decoded_mean_is_the_digit(client: TestClient, digits, seven: bytes) -> None:
    mean = client.post("/v1/encode", files={"images": seven}).json()["mean"]
    answer = client.post("/v1/decode", json={"latents": mean})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    image = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert image.shape == (28, 28) and image.dtype == np.uint8
    assert np.square((image - digits[0].astype(float)) / 255).mean() <= 0.02


def test_json_has_an_image_a_latent(client: TestClient) -> None:
    latents = np.random.default_rng(0).standard_normal((3, 50)).tolist()
    document = client.post("/v1/decode", json={"latents": latents}, headers={"accept": "application/json"}).json()
    assert document.keys() == {"model", "images"}
    assert [Image.open(io.BytesIO(base64.b64decode(i))).size for i in document["images"]] == [(28, 28)] * 3


def test_several_are_a_contact_sheet(client: TestClient) -> None:
    answer = client.post("/v1/decode?columns=4&scale=2", json={"latents": [[0.0] * 50] * 8})
    width, height = Image.open(io.BytesIO(answer.content)).size
    assert width >= 4 * 56 and 2 * 56 <= height < 3 * 56


@pytest.mark.parametrize(
    ("form", "status", "name", "words"),
    [
        (
            {"json": {"latents": [[0.0] * 49]}},
            422,
            "invalid-input",
            "latents[0]: expected a list of 50 numbers, found a list of 49; mnist-mlp has 50 latents",
        ),
        ({"json": {"latents": [0.0] * 5}}, 422, "invalid-input", "found a number"),
        ({"json": {"latents": []}}, 422, "malformed-request", "none"),
        ({"json": {"latents": {}}}, 422, "malformed-request", "an object"),
        ({"json": {"latents": ["a" * 100_000] + [""] * 7}}, 422, "invalid-input", "found text"),
        ({"json": {"latents": [[]] * 30_000}}, 422, "limit-exceeded", "30000"),
        ({"json": {"latents": [["0"] * 50]}}, 422, "invalid-input", "found text"),
        ({"json": {"latents": [[None] * 50]}}, 422, "invalid-input", "null"),
        ({"json": {"latents": [[False] * 50]}}, 422, "invalid-input", "true or false"),
        ({"json": {"latents": [[1e39] * 50]}}, 422, "invalid-input", "float32"),
        ({"json": {"latents": [[3e38] * 50]}}, 422, "invalid-input", "range"),
        ({"json": {"latents": [[0.0] * 50] * 9}}, 422, "limit-exceeded", "REPARAM_MAX_LATENTS"),
        ({"json": {"mean": [[0.0] * 50]}}, 422, "malformed-request", "mean"),
        ({"content": b"[NaN]", "headers": {"content-type": "application/json"}}, 422, "malformed-request", "JSON"),
        ({"content": b"\xff", "headers": {"content-type": "application/json"}}, 422, "malformed-request", "JSON"),
        ({"data": {"latents": "1"}}, 415, "unsupported-media-type", "application/json"),
    ],
)
def test_bad_bodies_are_problems(client: TestClient, form, status: int, name: str, words: str) -> None:
    assert words in assert_problem(client.post("/v1/decode", **form), status, name)["detail"]
