"""POST /v1/interpolate: the images between two."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

from app.images import png
from models.checkpoint import load_checkpoint
from tests.app.problems import assert_problem

JSON = {"accept": "application/json"}


@pytest.fixture(scope="module")
def two(digits: np.ndarray) -> bytes:
    """A real 2."""
    return png(digits[1].astype(np.float32) / 255)


def test_two_files_are_a_strip_from_one_to_the_other(client: TestClient, seven: bytes, two: bytes) -> None:
    answer = client.post("/v1/interpolate?steps=5", files=[("images", seven), ("images", two)])
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    with Image.open(io.BytesIO(answer.content)) as strip:
        levels = np.asarray(strip)
    assert levels.shape == (28, 5 * 29 - 1)
    for end, file in ((levels[:, :28], seven), (levels[:, -28:], two)):
        with Image.open(io.BytesIO(client.post("/v1/reconstruct", files={"images": file}).content)) as image:
            assert np.abs(end.astype(int) - np.asarray(image)).max() <= 1  # a batch rounds otherwise


@pytest.mark.parametrize("path", ["linear", "spherical"])
@pytest.mark.parametrize("model", ["mnist-mlp", "tiny-flow", "tiny-conv", "tiny-linear", "tiny-2d"])
def test_the_ends_are_the_codes_of_the_images(
    client: TestClient, seven: bytes, two: bytes, model: str, path: str
) -> None:
    files = [("images", seven), ("images", two)]
    codes = client.post(f"/v1/encode?model={model}", files=files).json()["mean"]
    answer = client.post(f"/v1/interpolate?model={model}&path={path}", files=files, headers=JSON).json()
    assert answer.keys() == {"model", "images", "latents"}
    assert len(answer["images"]) == len(answer["latents"]) == 8
    assert [answer["latents"][0], answer["latents"][-1]] == codes
    of_latents = client.post(f"/v1/interpolate?model={model}&path={path}", json={"latents": codes}, headers=JSON)
    assert of_latents.json() == answer


def test_every_form_of_two_images_gives_the_same(client: TestClient, seven: bytes, two: bytes, digits) -> None:
    forms = [
        {"files": [("images", seven), ("images", two)]},
        {"json": {"images": [base64.b64encode(file).decode() for file in (seven, two)]}},
        {"json": {"pixels": (digits[:2] / 255).tolist()}},
    ]
    pictures = {client.post("/v1/interpolate", **form).content for form in forms}
    assert len(pictures) == 1


def test_linear_is_straight_in_the_latents(client: TestClient) -> None:
    ends = np.random.default_rng(0).standard_normal((2, 5))
    answer = client.post("/v1/interpolate?model=tiny-flow&steps=3", json={"latents": ends.tolist()}, headers=JSON)
    np.testing.assert_allclose(answer.json()["latents"][1], ends.mean(0), rtol=1e-5)


def test_spherical_is_a_circle_in_the_noise_of_the_prior(client: TestClient, checkpoints) -> None:
    flow = load_checkpoint(checkpoints["tiny-flow"]).model
    u = torch.tensor([[2.0, 0, 0, 0, 0], [0, 2.0, 0, 0, 0]])
    answer = client.post(
        "/v1/interpolate?model=tiny-flow&path=spherical&steps=3",
        json={"latents": flow.from_noise(u).tolist()},
        headers=JSON,
    )
    noise = flow.to_noise(torch.tensor(answer.json()["latents"])).numpy()
    np.testing.assert_allclose(noise[1], [2**0.5, 2**0.5, 0, 0, 0], atol=1e-4)


def test_a_sheet_may_have_columns_and_a_scale(client: TestClient) -> None:
    answer = client.post("/v1/interpolate?steps=6&columns=3&scale=2", json={"latents": [[0.0] * 50, [1.0] * 50]})
    with Image.open(io.BytesIO(answer.content)) as sheet:
        assert sheet.size == (2 * (3 * 29 - 1), 2 * (2 * 29 - 1))


@pytest.mark.parametrize("model", ["tiny-ae", "tiny-dae"])
def test_a_deterministic_model_goes_straight_alone(client: TestClient, seven: bytes, model: str) -> None:
    files = [("images", seven)] * 2
    assert client.post(f"/v1/interpolate?model={model}", files=files).status_code == 200
    answer = client.post(f"/v1/interpolate?model={model}&path=spherical", files=files)
    detail = assert_problem(answer, 409, "not-generative")["detail"]
    assert detail.startswith(model) and "its interpolation is linear" in detail and "it can encode" in detail


IMAGE = {"content-type": "image/png"}


@pytest.mark.parametrize(
    ("query", "form", "status", "name", "words"),
    [
        ("", {"files": [("images", b"x")]}, 422, "malformed-request", "images: expected exactly 2,"),
        ("", {"files": [("images", b"x")] * 3}, 422, "malformed-request", "found 3"),
        ("", {"json": {"images": ["AAAA"]}}, 422, "malformed-request", "found 1"),
        ("", {"json": {"images": []}}, 422, "malformed-request", "found 0"),
        ("", {"json": {"pixels": [[0.0] * 784] * 300}}, 413, "body-too-large", ""),
        ("", {"json": {"latents": [[0.0] * 50] * 3}}, 422, "malformed-request", "latents: expected exactly 2"),
        ("", {"json": {"latents": 2}}, 422, "malformed-request", "expected a list, found a number"),
        ("", {"json": {"latents": [[0.0] * 49] * 2}}, 422, "invalid-input", "latents[0]: expected a list of 50"),
        ("", {"json": {"latents": [], "images": []}}, 422, "malformed-request", "images or pixels or latents"),
        ("", {"content": b"x", "headers": IMAGE}, 415, "unsupported-media-type", "multipart/form-data"),
        ("steps=1", {"json": {"latents": [[0.0] * 50] * 2}}, 422, "invalid-parameter", "steps"),
        ("steps=17", {"json": {"latents": [[0.0] * 50] * 2}}, 422, "limit-exceeded", "REPARAM_MAX_STEPS"),
        ("path=scenic", {"json": {"latents": [[0.0] * 50] * 2}}, 422, "invalid-parameter", "path"),
        ("", {"json": {"latents": [[3e38] * 50, [0.0] * 50]}}, 422, "invalid-input", "range"),
        ("path=spherical", {"json": {"latents": [[3e38] * 50, [-3e38] * 50]}}, 422, "invalid-input", "range"),
    ],
)
def test_bad_requests_are_problems(client: TestClient, query: str, form, status: int, name: str, words: str) -> None:
    assert words in assert_problem(client.post(f"/v1/interpolate?{query}", **form), status, name)["detail"]
