"""GET /v1/models/{name}/map: the latents of a model of two."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import norm
from starlette.testclient import TestClient

from models.checkpoint import load_checkpoint
from models.data import load_mnist
from tests.app.problems import assert_problem

PNG = {"accept": "image/png"}


@pytest.mark.parametrize("model", ["tiny-2d", "tiny-ae"])
def test_the_numbers_are_the_codes_of_test_digits(client: TestClient, checkpoints, mnist, model: str) -> None:
    answer = client.get(f"/v1/models/{model}/map")
    assert answer.status_code == 200 and answer.json().keys() == {"model", "mean", "labels"}
    test = load_mnist(mnist, "test")
    x = torch.from_numpy(test.images.reshape(-1, 784)).float() / 255
    mean = load_checkpoint(checkpoints[model]).model.encode(x).mean
    np.testing.assert_allclose(answer.json()["mean"], mean, rtol=2e-3, atol=2e-3)
    assert answer.json()["labels"] == test.labels.tolist()


def test_the_numbers_are_short(client: TestClient) -> None:
    mean = client.get("/v1/models/tiny-2d/map").json()["mean"]
    assert max(len(repr(abs(number))) for row in mean for number in row) <= 7


def test_the_picture_decodes_the_quantiles_with_the_second_latent_upwards(client: TestClient, checkpoints) -> None:
    answer = client.get("/v1/models/tiny-2d/map?size=3", headers=PNG)
    assert answer.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(answer.content)) as picture:
        levels = np.asarray(picture)
    assert levels.shape == (86, 86)
    low, middle, high = norm.ppf([1 / 6, 1 / 2, 5 / 6])
    z = [(x, y) for y in (high, middle, low) for x in (low, middle, high)]
    images = load_checkpoint(checkpoints["tiny-2d"]).model.decode(torch.tensor(z, dtype=torch.float32))
    for i, image in enumerate(images.reshape(-1, 28, 28).numpy() * 255):
        top, left = i // 3 * 29, i % 3 * 29
        np.testing.assert_allclose(levels[top : top + 28, left : left + 28], image, atol=0.51)


def test_the_picture_has_a_size_and_a_scale(client: TestClient) -> None:
    for query, side in (("", 20 * 29 - 1), ("?size=4&scale=2", 2 * (4 * 29 - 1)), ("?size=1", 28)):
        answer = client.get(f"/v1/models/tiny-2d/map{query}", headers=PNG)
        with Image.open(io.BytesIO(answer.content)) as picture:
            assert picture.size == (side, side)


def test_a_map_without_a_prior_has_no_picture(client: TestClient) -> None:
    detail = assert_problem(client.get("/v1/models/tiny-ae/map", headers=PNG), 409, "not-generative")["detail"]
    assert detail.startswith("tiny-ae is a deterministic autoencoder")


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("mnist-mlp", "mnist-mlp has 50 latents, and a map is of two; it can encode"),
        ("tiny-dae", "tiny-dae has 6 latents, and a map is of two; it can encode"),
        (
            "tiny-2d-flow",
            "tiny-2d-flow has two latents, but its checkpoint carries no map, which `reparam evaluate --update` makes; "
            "it can encode",
        ),
    ],
)
@pytest.mark.parametrize("accept", ["application/json", "image/png"])
def test_a_model_without_a_map_says_so(client: TestClient, model: str, words: str, accept: str) -> None:
    answer = client.get(f"/v1/models/{model}/map", headers={"accept": accept})
    assert words in assert_problem(answer, 409, "not-capable")["detail"]


@pytest.mark.parametrize(
    ("query", "name", "words"),
    [
        ("size=0", "invalid-parameter", "size"),
        ("size=21", "limit-exceeded", "REPARAM_MAX_SAMPLES"),
        ("scale=17", "invalid-parameter", "scale"),
        ("size=20&scale=16", "limit-exceeded", "REPARAM_MAX_SHEET_PIXELS"),
    ],
)
def test_bad_parameters_are_problems(client: TestClient, query: str, name: str, words: str) -> None:
    answer = client.get(f"/v1/models/tiny-2d/map?{query}", headers=PNG)
    assert words in assert_problem(answer, 422, name)["detail"]
