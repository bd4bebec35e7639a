"""POST /v1/reconstruct: images through the bottleneck and back."""

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.decomposition import PCA
from starlette.testclient import TestClient

from models.data import load_mnist
from tests.app.problems import assert_problem


def test_it_is_encoding_and_decoding_the_mean(client: TestClient, digits, seven: bytes) -> None:
    answer = client.post("/v1/reconstruct", files={"images": seven})
    mean = client.post("/v1/encode", files={"images": seven}).json()["mean"]
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/png"
    assert answer.content == client.post("/v1/decode", json={"latents": mean}).content
    with Image.open(io.BytesIO(answer.content)) as image:
        assert np.square((np.asarray(image) - digits[0].astype(float)) / 255).mean() < 0.02


def test_several_come_back_in_order(client: TestClient, digits) -> None:
    pixels = (digits[:4].reshape(4, 784) / 255).tolist()
    json = {"accept": "application/json"}
    together = client.post("/v1/reconstruct", json={"pixels": pixels}, headers=json).json()["images"]
    alone = [client.post("/v1/reconstruct", json={"pixels": [p]}, headers=json).json()["images"][0] for p in pixels]
    levels = [
        [np.asarray(Image.open(io.BytesIO(base64.b64decode(i))), int) for i in images] for images in (together, alone)
    ]
    assert np.abs(np.subtract(*levels)).max() <= 1  # a batch may round otherwise than its members


def test_the_linear_model_answers_with_pca(client: TestClient, mnist: Path, digits) -> None:
    training = load_mnist(mnist, "train").images[:1500].reshape(-1, 784) / 255
    x = digits[:8].reshape(8, 784) / 255
    pca = PCA(20, svd_solver="covariance_eigh").fit(training)
    answer = client.post(
        "/v1/reconstruct?model=tiny-linear", json={"pixels": x.tolist()}, headers={"accept": "application/json"}
    )
    expected = pca.inverse_transform(pca.transform(x)).clip(0, 1) * 255
    levels = [np.asarray(Image.open(io.BytesIO(base64.b64decode(i)))) for i in answer.json()["images"]]
    np.testing.assert_allclose(np.reshape(levels, (8, 784)), expected, atol=0.51)


def test_it_takes_what_encode_takes(client: TestClient) -> None:
    assert_problem(client.post("/v1/reconstruct", json={"latents": [[0.0] * 50]}), 422, "malformed-request")
