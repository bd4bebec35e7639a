"""Answers in every form: the same numbers, whichever the caller accepts."""

import base64
import io

import numpy as np
import orjson
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load
from starlette.testclient import TestClient

from app.json_bodies import dump_object
from tests.app.problems import assert_problem
from tests.app.test_tensors import npy

JSON, NPY, SAFETENSORS, PNG = (
    {"accept": media} for media in ("application/json", "application/x-npy", "application/vnd.safetensors", "image/png")
)


def metadata(body: bytes, folder) -> dict[str, str]:
    (folder / "answer.safetensors").write_bytes(body)
    with safe_open(folder / "answer.safetensors", "np") as file:
        return file.metadata()


@pytest.mark.parametrize("path", ["encode", "score"])
@pytest.mark.parametrize("model", ["mnist-mlp", "tiny-ae", "tiny-conv"])
def test_numbers_are_the_same_as_tensors(client: TestClient, digits, tmp_path, path: str, model: str) -> None:
    request = {"content": npy(digits[:3]), "headers": {"content-type": "application/x-npy"}}
    columns = client.post(f"/v1/{path}?model={model}", **request).json()
    request["headers"] |= SAFETENSORS
    answer = client.post(f"/v1/{path}?model={model}", **request)
    assert answer.headers["content-type"] == SAFETENSORS["accept"] and answer.headers["vary"] == "Accept"
    tensors = load(answer.content)
    assert metadata(answer.content, tmp_path) == {"model": columns.pop("model")}
    assert tensors.keys() == {name for name, column in columns.items() if column is not None}
    for name, tensor in tensors.items():
        assert tensor.dtype == np.float32
        assert np.array_equal(tensor, np.array(columns[name], np.float32))  # JSON has every digit that counts


def test_a_map_is_the_same_as_tensors(client: TestClient) -> None:
    columns = client.get("/v1/models/tiny-2d/map").json()
    tensors = load(client.get("/v1/models/tiny-2d/map", headers=SAFETENSORS).content)
    assert np.array_equal(tensors["mean"], np.array(columns["mean"], np.float32))
    assert tensors["labels"].tolist() == columns["labels"]


def test_images_are_the_same_in_every_form(client: TestClient, tmp_path) -> None:
    link = "/v1/sample?count=3&seed=7&temperature=0.5"
    document = client.get(link, headers=JSON).json()
    array, tensors = client.get(link, headers=NPY), client.get(link, headers=SAFETENSORS)
    for answer in (array, tensors):
        assert (answer.headers["x-seed"], answer.headers["vary"]) == ("7", "Accept")
    images = np.load(io.BytesIO(array.content), allow_pickle=False)
    assert images.shape == (3, 28, 28) and images.dtype == np.float32
    named = load(tensors.content)
    assert named.keys() == {"images", "latents"} and np.array_equal(named["images"], images)
    assert np.array_equal(named["latents"], np.array(document["latents"], np.float32))
    assert metadata(tensors.content, tmp_path) == {"model": "mnist-mlp", "seed": "7", "temperature": "0.5"}
    for image, encoded in zip(images, document["images"], strict=True):
        levels = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))
        assert np.array_equal(levels, np.rint(image * 255))
    one = client.get("/v1/sample?count=1&seed=7&temperature=0.5", headers=PNG)
    assert np.abs(np.asarray(Image.open(io.BytesIO(one.content)), int) - np.rint(images[0] * 255)).max() <= 1


def test_an_answer_goes_back_in_as_it_is(client: TestClient, digits) -> None:
    """What one call answers the next one takes, without a conversion between."""
    rebuilt = client.post(
        "/v1/reconstruct", content=npy(digits[:3]), headers={"content-type": "application/x-npy"} | NPY
    )
    again = client.post("/v1/encode", content=rebuilt.content, headers={"content-type": "application/x-npy"})
    assert np.shape(again.json()["mean"]) == (3, 50)
    named = client.post(
        "/v1/interpolate?steps=5", content=npy(digits[:2]), headers={"content-type": "application/x-npy"} | SAFETENSORS
    )
    tensors = load(named.content)
    decoded = client.post(
        "/v1/decode", content=npy(tensors["latents"]), headers={"content-type": "application/x-npy"} | NPY
    )
    np.testing.assert_allclose(np.load(io.BytesIO(decoded.content)), tensors["images"], atol=1e-6)


@pytest.mark.parametrize(
    ("method", "path", "unknown", "known"),
    [
        ("GET", "/v1/sample?sed=7", "sed", "columns, count, model, scale, seed, temperature"),
        ("POST", "/v1/encode?Model=mnist-mlp", "Model", "fit, model, polarity"),
        ("POST", "/v1/decode?fit=digit&seed=1", "fit, seed", "columns, model, scale"),
        ("POST", "/v1/interpolate?step=4", "step", "columns, fit, model, path, polarity, scale, steps"),
        ("GET", "/v1/models/tiny-2d/map?columns=3", "columns", "scale, size"),
        ("GET", "/v1/models?page=2", "page", "none"),
    ],
)
def test_an_unknown_parameter_is_named_with_the_known(
    client: TestClient, method: str, path: str, unknown: str, known: str
) -> None:
    problem = assert_problem(client.request(method, path), 422, "invalid-parameter")
    assert problem["detail"] == f"query: expected {known}, found {unknown}"


@pytest.mark.parametrize(
    ("method", "path", "repeated"),
    [
        ("GET", "/v1/sample?seed=1&seed=2", "seed"),
        ("GET", "/v1/sample?count=&seed=1&count=2", "count"),
        ("POST", "/v1/encode?model=mnist-mlp&fit=digit&fit=digit&model=tiny-ae", "fit, model"),
        ("GET", "/v1/models/tiny-2d/map?size=3&size=3", "size"),
        ("GET", "/v1/models?page=1&page=2", "page"),
    ],
)
def test_a_repeated_parameter_is_named(client: TestClient, method: str, path: str, repeated: str) -> None:
    problem = assert_problem(client.request(method, path), 422, "invalid-parameter")
    assert problem["detail"] == f"query: expected every parameter at most once, found more than one {repeated}"


def test_a_probe_may_add_what_it_likes(client: TestClient) -> None:
    assert client.get("/healthz?t=1").status_code == 200


def test_long_arrays_are_written_in_pieces_as_they_would_be_at_once() -> None:
    generator = np.random.default_rng(0)
    for shape in ((3, 70_000), (40_000, 7), (70_000,), (2**16 + 1, 1), (5, 5), (0, 5)):
        document = {"model": "one", "mean": generator.standard_normal(shape, np.float32), "variance": None}
        assert dump_object(document) == orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
