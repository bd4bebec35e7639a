"""POST /v1/encode: the posterior of images, whatever form they come in."""

import base64
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

from app.images import png
from app.main import create_app
from app.settings import Settings
from models.checkpoint import load_checkpoint
from tests.app.problems import assert_problem


def test_a_form_with_one_file_gives_fifty_means_and_fifty_variances(client: TestClient, seven: bytes) -> None:
    answer = client.post("/v1/encode", files={"images": ("digit.png", seven)})
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert document.keys() == {"model", "mean", "variance"}
    assert document["model"] == "mnist-mlp"
    assert np.shape(document["mean"]) == np.shape(document["variance"]) == (1, 50)
    assert np.min(document["variance"]) > 0


def test_every_form_gives_what_the_network_gives(client: TestClient, seven: bytes, digits, zoo) -> None:
    x = torch.from_numpy(digits[:1].reshape(1, 784)).float() / 255
    model = load_checkpoint(zoo / "mnist-mlp").model
    mean, log_sigma = model.encoder(x).chunk(2, dim=-1)
    forms = [
        {"files": {"images": ("digit.png", seven)}},
        {"content": seven, "headers": {"content-type": "image/png"}},
        {"content": seven, "headers": {"content-type": "image/jpeg"}},  # what it is, is read from the bytes
        {"content": seven, "headers": {"content-type": "image/jpg"}},  # as many write it
        {"content": seven, "headers": {"content-type": "image/x-ms-bmp"}},
        {"json": {"images": [base64.b64encode(seven).decode()]}},
        {"json": {"images": [base64.encodebytes(seven).decode()]}},  # in lines
        {"json": {"images": ["data:image/png;base64," + base64.b64encode(seven).decode()]}},
        {"json": {"pixels": x.tolist()}},
        {"json": {"pixels": x.reshape(1, 28, 28).tolist()}},
    ]
    for form in forms:
        document = client.post("/v1/encode", **form).json()
        np.testing.assert_allclose(document["mean"], mean.detach(), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(document["variance"], log_sigma.detach().exp().square(), rtol=1e-4)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "TIFF", "WEBP"])
def test_lossless_formats_are_the_same_digit(client: TestClient, digits, seven: bytes, kind: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(digits[0]).save(buffer, kind, **({"lossless": True} if kind == "WEBP" else {}))
    raw = client.post("/v1/encode", content=buffer.getvalue(), headers={"content-type": f"image/{kind.lower()}"})
    png = client.post("/v1/encode", content=seven, headers={"content-type": "image/png"})
    assert raw.json() == png.json()


def test_several_images_are_rows_in_order(client: TestClient, digits) -> None:
    files = []
    for digit in digits[:5]:
        buffer = io.BytesIO()
        Image.fromarray(digit).save(buffer, "PNG")
        files.append(("images", ("digit.png", buffer.getvalue())))
    together = client.post("/v1/encode", files=files).json()
    alone = [client.post("/v1/encode", files=[file]).json()["mean"][0] for file in files]
    np.testing.assert_allclose(together["mean"], alone, atol=1e-5)


def test_polarity_and_fit_are_heeded(client: TestClient, digits, seven: bytes) -> None:
    buffer = io.BytesIO()
    Image.fromarray(255 - digits[0]).save(buffer, "PNG")
    inverted = buffer.getvalue()
    headers = {"content-type": "image/png"}
    right = client.post("/v1/encode", content=seven, headers=headers).json()["mean"]
    told = client.post("/v1/encode?polarity=dark-on-light", content=inverted, headers=headers).json()["mean"]
    untold = client.post("/v1/encode", content=inverted, headers=headers).json()["mean"]
    refitted = client.post("/v1/encode?fit=digit", content=inverted, headers=headers).json()["mean"]
    np.testing.assert_allclose(told, right, atol=1e-3)
    assert np.linalg.norm(np.subtract(untold, right)) > 1  # used as it is, to the bit
    assert np.linalg.norm(np.subtract(refitted, right)) < 1


@pytest.mark.parametrize("query", ["fit=digit", "fit=stretch", "polarity=dark-on-light", "polarity=light-on-dark"])
@pytest.mark.parametrize("operation", ["encode", "interpolate"])
def test_what_becomes_of_pictures_is_not_asked_of_numbers(client: TestClient, query: str, operation: str) -> None:
    body = {"pixels": [[0.0] * 784] * 2}
    problem = assert_problem(client.post(f"/v1/{operation}?{query}", json=body), 422, "invalid-input")
    name, _, value = query.partition("=")
    assert problem["detail"].startswith(f"{name}: expected it with image files alone")
    assert problem["detail"].endswith(f"found {value}")
    assert client.post(f"/v1/{operation}?polarity=auto", json=body).status_code == 200


@pytest.mark.parametrize(
    ("form", "status", "name", "words"),
    [
        ({"json": {"images": ["", "###"]}}, 422, "malformed-request", "images[1]: expected base64: "),
        ({"content": b"x", "headers": {"content-type": "text/plain"}}, 415, "unsupported-media-type", "text/plain"),
        ({"content": b""}, 415, "unsupported-media-type", "no Content-Type"),
        ({"content": b"hello", "headers": {"content-type": "image/png"}}, 422, "unreadable-image", "images[0]"),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 422, "malformed-request", "not JSON"),
        ({"json": []}, 422, "malformed-request", "list"),
        ({"json": {}}, 422, "malformed-request", "empty object"),
        ({"json": {"images": [], "pixels": []}}, 422, "malformed-request", "images, pixels"),
        ({"json": {"images": []}}, 422, "malformed-request", "none"),
        ({"json": {"images": ["", [0] * 784]}}, 422, "malformed-request", "images[1]: expected text, the base64 of an"),
        ({"json": {"images": ["", [0] * 784]}}, 422, "malformed-request", "found a list"),
        ({"json": {"images": None}}, 422, "malformed-request", "found null"),
        ({"content": b"null", "headers": {"content-type": "application/json"}}, 422, "malformed-request", "found null"),
        ({"json": {"images": "AAAA"}}, 422, "malformed-request", "text"),
        ({"files": [("images", b"x")] * 9}, 422, "limit-exceeded", "REPARAM_MAX_IMAGES"),
        ({"json": {"images": ["!"]}}, 422, "malformed-request", "base64"),
        ({"json": {"images": ["AAAA"] * 9}}, 422, "limit-exceeded", "REPARAM_MAX_IMAGES"),
        ({"json": {"pixels": [[0.5] * 783]}}, 422, "invalid-input", "pixels[0]: expected a list of 784 numbers"),
        ({"json": {"pixels": [[0.5] * 784, [0.5]]}}, 422, "invalid-input", "pixels[1]"),
        ({"json": {"pixels": [["a"] * 784]}}, 422, "invalid-input", "found text"),
        ({"json": {"pixels": [[0.0] * 783 + [1.0000001]]}}, 422, "invalid-input", "found 0 to 1.00000012"),
        ({"json": {"pixels": [[[0.5] * 28] * 27 + [[0.5] * 29]]}}, 422, "invalid-input", "other lengths"),
        ({"json": {"pixels": [[True] + [0] * 783]}}, 422, "invalid-input", "true or false"),
        ({"json": {"pixels": [[1.5] * 784]}}, 422, "invalid-input", "1.5"),
        ({"json": {"pixels": [[1e300] * 784]}}, 422, "invalid-input", "range"),
        ({"json": {"pixels": 3}}, 422, "malformed-request", "expected a list, found a number"),
        ({"files": {"image": ("digit.png", b"x")}}, 422, "malformed-request", "image"),
        ({"data": {"images": "text"}, "files": {"other": b"x"}}, 422, "malformed-request", "other"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 422, "malformed-request", "boundary"),
        ({"content": b"x" * 200_001, "headers": {"content-type": "image/png"}}, 413, "body-too-large", "200000"),
    ],
)
def test_bad_bodies_are_problems(client: TestClient, form, status: int, name: str, words: str) -> None:
    assert words in assert_problem(client.post("/v1/encode", **form), status, name)["detail"]


def test_a_chunked_body_has_the_same_limit(client: TestClient) -> None:
    def chunks():
        for _ in range(300):
            yield b"x" * 1000

    answer = client.post("/v1/encode", content=chunks(), headers={"content-type": "image/png"})
    assert "200000 bytes" in assert_problem(answer, 413, "body-too-large")["detail"]


def test_a_huge_picture_is_refused_before_it_is_decoded(client: TestClient) -> None:
    buffer = io.BytesIO()
    Image.new("1", (9000, 9000)).save(buffer, "PNG")
    assert len(buffer.getvalue()) < 200_000
    answer = client.post("/v1/encode", content=buffer.getvalue(), headers={"content-type": "image/png"})
    assert "9000" in assert_problem(answer, 413, "image-too-large")["detail"]


@pytest.mark.parametrize(
    ("sides", "found"),
    [
        ((101,), r"images\[0\]: .*, found 101 x 101 .*"),
        ((80, 28, 70), r"images\[2\]: .*, found 70 x 70 after 7184 pixels .*"),
    ],
)
def test_too_many_pixels_are_told_with_the_limit_of_all_pictures_together(sides: tuple[int, ...], found: str) -> None:
    with TestClient(create_app(Settings(models="mnist-mlp", max_pixels=10_000))) as client:
        files = [("images", png(np.eye(side, dtype=np.float32))) for side in sides]
        detail = assert_problem(client.post("/v1/encode", files=files), 413, "image-too-large")["detail"]
    assert re.fullmatch(found, detail), detail
    assert "at most 10000 pixels in all images together, found" in detail
    assert detail.endswith(" (max_pixels, set by REPARAM_MAX_PIXELS)")


def test_an_answer_that_nobody_accepts_is_a_problem(client: TestClient, seven: bytes) -> None:
    headers = {"content-type": "image/png", "accept": "text/html"}
    assert_problem(client.post("/v1/encode", content=seven, headers=headers), 406, "not-acceptable")
    assert_problem(client.post("/v1/encode", content=b"no image", headers=headers), 406, "not-acceptable")


def test_a_deterministic_model_has_no_variance(client: TestClient, seven: bytes) -> None:
    document = client.post("/v1/encode?model=tiny-ae", files={"images": seven}).json()
    assert np.shape(document["mean"]) == (1, 2) and document["variance"] is None
