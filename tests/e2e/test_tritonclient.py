"""Triton's own Python client, unmodified, against a running server."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

from tests.e2e.server import get, post, running

pytestmark = pytest.mark.e2e

ENCODE = "mnist-mlp.encode"
Call = Callable[..., Any]


class Asynchronous:
    """The asynchronous client, each call waited for."""

    def __init__(self, address: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._client = self._loop.run_until_complete(self._open(address))

    async def _open(self, address: str) -> triton_aio.InferenceServerClient:
        return triton_aio.InferenceServerClient(address)

    def __getattr__(self, name: str) -> Call:
        method = getattr(self._client, name)
        return lambda *args, **kwargs: self._loop.run_until_complete(method(*args, **kwargs))

    def end(self) -> None:
        self._loop.run_until_complete(self._client.close())
        self._loop.close()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running("--model", "mnist-mlp", REPARAM_MAX_IMAGES="8") as (url, _):
        yield url


@pytest.fixture(scope="module", params=["sync", "asyncio"])
def client(request: pytest.FixtureRequest, url: str) -> Iterator[Any]:
    address = url.removeprefix("http://")
    if request.param == "sync":
        with triton.InferenceServerClient(address) as client:
            yield client
    else:
        client = Asynchronous(address)
        yield client
        client.end()


def _input(name: str, values: np.ndarray, datatype: str, binary: bool = True) -> triton.InferInput:
    given = triton.InferInput(name, list(values.shape), datatype)
    return given.set_data_from_numpy(values, binary_data=binary)


def _encoded(url: str, x: np.ndarray) -> dict[str, np.ndarray]:
    return post(f"{url}/v1/encode", json={"pixels": x.tolist()}).json()


def test_health_and_metadata(client: Any) -> None:
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready(ENCODE) and client.is_model_ready(ENCODE, "1")
    assert not client.is_model_ready(ENCODE, "2") and not client.is_model_ready("nobody.encode")
    assert client.get_server_metadata()["name"] == "reparam"
    metadata = client.get_model_metadata(ENCODE)
    assert metadata == client.get_model_metadata(ENCODE, "1")
    assert metadata["inputs"] == [{"name": "images", "datatype": "FP32", "shape": [-1, 28, 28]}]
    config = client.get_model_config(ENCODE)
    assert config["max_batch_size"] == 8 and config["input"][0]["dims"] == [28, 28]


def test_index_and_statistics(client: Any, digits: np.ndarray) -> None:
    names = {f"mnist-mlp.{f}" for f in ("encode", "decode", "reconstruct", "score", "sample")}
    assert {model["name"] for model in client.get_model_repository_index()} == names
    before = client.get_inference_statistics(ENCODE)["model_stats"][0]
    client.infer(ENCODE, [_input("images", digits[:5], "UINT8")])
    after = client.get_inference_statistics(ENCODE, "1")["model_stats"][0]
    assert after["inference_count"] - before["inference_count"] == 5
    assert after["execution_count"] - before["execution_count"] == 1
    assert after["inference_stats"]["compute_infer"]["ns"] > before["inference_stats"]["compute_infer"]["ns"]
    assert len(client.get_inference_statistics()["model_stats"]) == len(names)


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
@pytest.mark.parametrize("datatype", ["FP32", "UINT8"])
def test_codes_are_those_of_encode(
    client: Any, url: str, digits: np.ndarray, datatype: str, binary_in: bool, binary_out: bool | None
) -> None:
    x = digits[:3] if datatype == "UINT8" else digits[:3].astype(np.float32) / np.float32(255)
    names = ("mean", "variance")
    wanted = None if binary_out is None else [triton.InferRequestedOutput(n, binary_data=binary_out) for n in names]
    result = client.infer(ENCODE, [_input("images", x, datatype, binary_in)], outputs=wanted, request_id="mine")
    expected = _encoded(url, digits[:3] / 255)
    for name in names:
        found = result.as_numpy(name)
        assert found.shape == (3, 50) and found.dtype == np.float32
        np.testing.assert_allclose(found, expected[name], rtol=1e-6, atol=1e-6)
    response = result.get_response()
    assert (response["id"], response["model_name"], response["model_version"]) == ("mine", ENCODE, "1")


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_response_comes_compressed_when_asked(client: Any, digits: np.ndarray, encoding: str) -> None:
    x = [_input("images", digits[:8], "UINT8")]
    plain = client.infer("mnist-mlp.reconstruct", x, headers={"Accept-Encoding": "identity"})
    packed = client.infer("mnist-mlp.reconstruct", x, response_compression_algorithm=encoding)
    np.testing.assert_array_equal(packed.as_numpy("images"), plain.as_numpy("images"))


def test_every_function(client: Any, url: str, digits: np.ndarray) -> None:
    x = [_input("images", digits[:2], "UINT8")]
    mean = client.infer(ENCODE, x, outputs=[triton.InferRequestedOutput("mean")]).as_numpy("mean")
    decoded = client.infer("mnist-mlp.decode", [_input("latents", mean, "FP32")]).as_numpy("images")
    rebuilt = client.infer("mnist-mlp.reconstruct", x).as_numpy("images")
    assert decoded.shape == (2, 28, 28)
    np.testing.assert_allclose(decoded, rebuilt, atol=1e-5)
    scored = client.infer("mnist-mlp.score", x)
    body = {"pixels": (digits[:2] / 255).tolist()}
    expected = post(f"{url}/v1/score", json=body).json()
    for name in ("elbo", "log_likelihood", "kl", "percentile"):
        np.testing.assert_allclose(scored.as_numpy(name), expected[name], rtol=1e-6)


def test_a_sample_of_a_seed_is_that_of_sample(client: Any, url: str) -> None:
    inputs = [_input("count", np.array([4]), "INT64"), _input("seed", np.array([7]), "INT64")]
    drawn = client.infer("mnist-mlp.sample", inputs, parameters={"temperature": 0.5})
    link = f"{url}/v1/sample?count=4&seed=7&temperature=0.5"
    expected = get(link, headers={"accept": "application/json"}).json()
    np.testing.assert_allclose(drawn.as_numpy("latents"), expected["latents"], rtol=1e-6)
    assert drawn.as_numpy("images").shape == (4, 28, 28) and drawn.as_numpy("seed").tolist() == [7]


def test_errors_are_raised_with_their_message(client: Any, digits: np.ndarray) -> None:
    def refused(call: Call, status: str, words: str) -> None:
        with pytest.raises(InferenceServerException, match=words) as error:
            call()
        assert error.value.status() == status

    many = _input("images", digits[:9], "UINT8")
    refused(lambda: client.infer(ENCODE, [many]), "400", r"expected at most 8 \(max_images")
    wrong = _input("images", digits[:2, :14], "UINT8")
    refused(lambda: client.infer(ENCODE, [wrong]), "400", r"found \[2, 14, 28\]")
    shared = triton.InferInput("images", [1, 28, 28], "FP32").set_shared_memory("region", 3136)
    refused(lambda: client.infer(ENCODE, [shared]), "400", "shared memory is not supported")
    classes = [triton.InferRequestedOutput("mean", class_count=3)]
    one = [_input("images", digits[:1], "UINT8")]
    refused(lambda: client.infer(ENCODE, one, outputs=classes), "400", "classification is not supported")
    refused(lambda: client.infer(ENCODE, one, model_version="2"), "404", "expected 1, the only one")
    refused(lambda: client.get_model_metadata("nobody"), "404", "expected MODEL.FUNCTION")
    refused(lambda: client.load_model(ENCODE), "409", "when the server starts")
    refused(lambda: client.unload_model(ENCODE), "409", "when the server starts")
    refused(lambda: client.get_system_shared_memory_status(), "404", "there is nothing at")
