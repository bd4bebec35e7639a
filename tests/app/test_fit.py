"""POST /v1/fit: what a model sees of a picture."""

import io

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from tests.app.problems import assert_problem

NPY = {"accept": "application/x-npy"}


def _array(content: bytes) -> np.ndarray:
    return np.load(io.BytesIO(content))


def _page(digit: np.ndarray) -> bytes:
    """A digit as a larger picture, dark on light paper, away from the middle."""
    page = np.full((300, 400), 240, np.uint8)
    page[30:226, 150:346] -= (digit.repeat(7, axis=0).repeat(7, axis=1) * 0.9).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(page).save(file, "PNG")
    return file.getvalue()


def test_a_digit_is_answered_to_the_bit(client: TestClient, digits, seven: bytes) -> None:
    answer = client.post("/v1/fit", files={"images": seven}, headers=NPY)
    assert answer.status_code == 200
    np.testing.assert_array_equal(_array(answer.content)[0], digits[0].astype(np.float32) / 255)
    assert (
        client.post("/v1/fit", files={"images": seven}).content
        == client.post("/v1/fit", content=seven, headers={"content-type": "image/png"}).content
    )


def test_bytes_are_answered_as_the_numbers_that_they_stand_for(client: TestClient, digits) -> None:
    file = io.BytesIO()
    np.save(file, digits[:2])
    content = client.post("/v1/fit", content=file.getvalue(), headers=NPY | {"content-type": NPY["accept"]}).content
    np.testing.assert_array_equal(_array(content), digits[:2].astype(np.float32) / np.float32(255))
    assert _array(content).dtype == np.float32


def test_a_photograph_becomes_the_digit(client: TestClient, digits) -> None:
    page = _page(digits[0])
    fitted = _array(client.post("/v1/fit", files={"images": page}, headers=NPY).content)[0]
    assert fitted.dtype == np.float32 and fitted.shape == (28, 28)
    assert np.square(fitted - digits[0] / 255).mean() < 0.01
    stretched = _array(client.post("/v1/fit?fit=stretch", files={"images": page}, headers=NPY).content)[0]
    assert np.abs(stretched - fitted).max() > 0.5


@pytest.mark.parametrize("call", ["encode", "score"])
def test_it_is_what_the_other_calls_see(client: TestClient, digits, call: str) -> None:
    page = _page(digits[1])
    fitted = client.post("/v1/fit", files={"images": page}, headers=NPY).content
    npy = {"content-type": "application/x-npy"}
    by_array = client.post(f"/v1/{call}", content=fitted, headers=npy).json()
    by_file = client.post(f"/v1/{call}", files={"images": page}).json()
    assert by_array == by_file


def test_it_answers_for_every_model_and_in_every_form(client: TestClient, seven: bytes) -> None:
    for model in ("tiny-ae", "tiny-linear"):
        assert client.post(f"/v1/fit?model={model}", files={"images": seven}, headers=NPY).status_code == 200
    png = client.post("/v1/fit?scale=3", files=[("images", seven)] * 2)
    with Image.open(io.BytesIO(png.content)) as sheet:
        assert sheet.size == (3 * (2 * 28 + 1), 3 * 28)
    assert len(client.post("/v1/fit", files={"images": seven}, headers={"accept": "application/json"}).json()["images"])


def test_what_cannot_be_fitted_is_a_problem(client: TestClient) -> None:
    assert_problem(client.post("/v1/fit", files={"images": b"no picture"}), 422, "unreadable-image")
    assert_problem(client.post("/v1/fit", json={"latents": [[0.0] * 50]}), 422, "malformed-request")
    assert_problem(client.post("/v1/fit?model=nobody", files={"images": b""}), 404, "model-not-found")
