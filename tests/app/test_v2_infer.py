"""Inference by the Open Inference Protocol: tensors in every form, and every way to get one wrong."""

import gzip
import json
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from app.errors import MalformedError
from app.main import create_app
from app.oip import Tensor, parse
from app.settings import Settings
from tests.app.v2 import assert_error, binary_body, infer, infer_binary, outputs, tensor

ENCODE = "mnist-mlp.encode"


@pytest.fixture
def x(digits: np.ndarray) -> np.ndarray:
    """Three digits, (3, 28, 28) float32 in 0..1."""
    return digits[:3].astype(np.float32) / np.float32(255)


def _encoded(client: TestClient, x: np.ndarray) -> dict[str, np.ndarray]:
    document = client.post("/v1/encode", json={"pixels": x.tolist()}).json()
    return {name: np.array(document[name], np.float32) for name in ("mean", "variance")}


def _assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert found[name].shape == values.shape
        np.testing.assert_allclose(found[name], values, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("shape", [(3, 28, 28), (3, 1, 28, 28), (3, 784)])
@pytest.mark.parametrize("nested", [False, True])
def test_json_in_every_shape_is_what_encode_answers(client: TestClient, x, shape, nested: bool) -> None:
    answer = infer(client, ENCODE, tensor("images", x.reshape(shape), "FP32", nested), id="a request")
    document = answer.json()
    assert document["id"] == "a request" and document["model_name"] == ENCODE
    assert document["model_version"] == "1" and document["parameters"] == {}
    _assert_same(outputs(answer), _encoded(client, x))
    at_version = client.post(f"/v2/models/{ENCODE}/versions/1/infer", content=answer.request.content)
    assert at_version.json() == document


def test_an_id_that_was_not_given_is_not_answered(client: TestClient, x) -> None:
    assert "id" not in infer(client, ENCODE, tensor("images", x, "FP32")).json()


@pytest.mark.parametrize("datatype", ["FP32", "FP64", "FP16", "BF16", "UINT8"])
def test_bytes_of_every_datatype(client: TestClient, digits, x, datatype: str) -> None:
    """Half precision moves a code by what it moves the pixels; the others are exact."""
    upper = (x.view(np.uint32) >> 16).astype(np.uint16)
    given = {"FP16": x.astype("<f2"), "FP64": x.astype("<f8"), "FP32": x, "BF16": upper, "UINT8": digits[:3]}[datatype]
    found = outputs(infer_binary(client, ENCODE, "images", given, datatype))
    seen = {"FP16": x.astype(np.float16).astype(np.float32), "BF16": (upper.astype(np.uint32) << 16).view(np.float32)}
    _assert_same(found, _encoded(client, seen.get(datatype, x)))


def test_whole_numbers_of_0_to_255_in_json(client: TestClient, digits, x) -> None:
    _assert_same(outputs(infer(client, ENCODE, tensor("images", digits[:3], "UINT8"))), _encoded(client, x))


def test_bytes_alone_are_the_one_input(client: TestClient, x) -> None:
    headers = {"inference-header-content-length": "0"}
    answer = client.post(f"/v2/models/{ENCODE}/infer", content=x.tobytes(), headers=headers)
    _assert_same(outputs(answer), _encoded(client, x))
    for model, body, word in (
        (ENCODE, b"", "3136 for each row"),
        (ENCODE, b"12345", "3136"),
        ("mnist-mlp.sample", b"12345678", "no input"),
    ):
        assert_error(client.post(f"/v2/models/{model}/infer", content=body, headers=headers), 400, word)


def test_outputs_come_as_asked_and_in_that_order(client: TestClient, x) -> None:
    expected = _encoded(client, x)
    images = tensor("images", x, "FP32")
    swapped = infer(client, ENCODE, images, outputs=[{"name": "variance"}, {"name": "mean"}])
    _assert_same(outputs(swapped), {name: expected[name] for name in ("variance", "mean")})
    one = infer(client, ENCODE, images, outputs=[{"name": "variance"}], parameters={"binary_data_output": True})
    assert one.headers["content-type"] == "application/octet-stream"
    _assert_same(outputs(one), {"variance": expected["variance"]})
    mixed = infer(
        client,
        ENCODE,
        images,
        parameters={"binary_data_output": True},
        outputs=[{"name": "mean", "parameters": {"binary_data": False}}, {"name": "variance"}],
    )
    header = json.loads(mixed.content[: int(mixed.headers["inference-header-content-length"])])
    assert "data" in header["outputs"][0] and header["outputs"][1]["parameters"] == {"binary_data_size": 3 * 50 * 4}
    _assert_same(outputs(mixed), expected)
    _assert_same(outputs(infer(client, ENCODE, images, outputs=[])), expected)


def test_what_is_encoded_and_decoded_is_reconstructed(client: TestClient, x) -> None:
    mean = outputs(infer(client, ENCODE, tensor("images", x, "FP32")))["mean"]
    decoded = outputs(infer_binary(client, "mnist-mlp.decode", "latents", mean, "FP32"))["images"]
    rebuilt = outputs(infer_binary(client, "mnist-mlp.reconstruct", "images", x, "FP32"))["images"]
    assert decoded.shape == (3, 28, 28)
    np.testing.assert_allclose(decoded, rebuilt, atol=1e-5)
    again = outputs(infer_binary(client, ENCODE, "images", decoded, "FP32"))  # an output fits as an input
    assert again["mean"].shape == mean.shape


def test_many_numbers_are_the_same_in_json_and_in_bytes(client: TestClient) -> None:
    wanted = {"count": 200, "seed": 1}  # 156,800 numbers, and others behind them
    text = infer(client, "mnist-mlp.sample", parameters=wanted)
    data = infer(client, "mnist-mlp.sample", parameters=wanted | {"binary_data_output": True})
    assert "inference-header-content-length" not in text.headers and "inference-header-content-length" in data.headers
    _assert_same(outputs(text), outputs(data))
    np.testing.assert_array_equal(outputs(text)["images"], outputs(data)["images"])


def test_scores_are_those_of_score(client: TestClient, x) -> None:
    found = outputs(infer(client, "mnist-mlp.score", tensor("images", x, "FP32")))
    document = client.post("/v1/score", json={"pixels": x.tolist()}).json()
    _assert_same(found, {name: np.array(v, np.float32) for name, v in document.items() if name != "model"})


def test_a_sample_of_a_seed_is_that_of_sample(client: TestClient) -> None:
    expected = client.get("/v1/sample?count=4&seed=7&temperature=0.7", headers={"accept": "application/json"}).json()
    inputs = [
        tensor("count", np.array([4]), "INT64"),
        tensor("seed", np.array([7]), "UINT8"),
        tensor("temperature", np.array([0.7]), "FP32"),
    ]
    by_inputs = infer(client, "mnist-mlp.sample", *inputs)
    by_parameters = infer(client, "mnist-mlp.sample", parameters={"count": 4, "seed": 7, "temperature": 0.7})
    by_both = infer(client, "mnist-mlp.sample", inputs[0], parameters={"seed": 7, "temperature": 0.7})
    for answer in (by_inputs, by_parameters, by_both):
        drawn = outputs(answer)
        assert list(drawn) == ["images", "latents", "seed"]
        assert drawn["images"].shape == (4, 28, 28) and drawn["seed"].tolist() == [7]
        np.testing.assert_allclose(drawn["latents"], expected["latents"], rtol=1e-6)
        assert answer.json()["parameters"]["seed"] == 7


def test_a_sample_needs_nothing_and_tells_its_seed(client: TestClient) -> None:
    first = infer(client, "mnist-mlp.sample")
    drawn = outputs(first)
    assert drawn["images"].shape == (1, 28, 28)
    again = outputs(infer(client, "mnist-mlp.sample", tensor("seed", drawn["seed"], "INT64")))
    np.testing.assert_array_equal(again["images"], drawn["images"])
    assert drawn["seed"][0] != outputs(infer(client, "mnist-mlp.sample"))["seed"][0]


def test_the_largest_seed_is_exact(client: TestClient) -> None:
    seed = np.array([2**63 - 1])
    for answer in (
        infer(client, "mnist-mlp.sample", tensor("seed", seed, "INT64")),
        infer_binary(client, "mnist-mlp.sample", "seed", seed, "INT64", parameters={"binary_data_output": True}),
    ):
        assert outputs(answer)["seed"].tolist() == [2**63 - 1]


IMAGE = {"name": "images", "datatype": "UINT8", "shape": [1, 784], "data": [0] * 784}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "image"}, ["expected images", "found image"]),
        ({"name": 7}, ["name", "expected text"]),
        ({"shape": [1, 783]}, ["[N, 28, 28] or [N, 1, 28, 28] or [N, 784]", "found [1, 783]"]),
        ({"shape": [784]}, ["found [784]"]),
        ({"shape": [-1, 784]}, ["shape", "from 0"]),
        ({"shape": [True, 784]}, ["shape"]),
        ({"shape": [1.0, 784]}, ["shape"]),
        ({"shape": "1x784"}, ["shape", "found text"]),
        ({"shape": None}, ["shape", "found null"]),
        ({"shape": [0, 784], "data": []}, ["at least one"]),
        ({"shape": [2**62, 784]}, ["max_images", "REPARAM_MAX_IMAGES"]),
        ({"shape": [9, 784], "data": []}, ["at most 8 (max_images", "found 9"]),
        ({"shape": [2, 784]}, ["expected 1568 numbers", "found 784"]),
        ({"datatype": "INT64"}, ["FP32 or FP64 or FP16 or BF16 or UINT8", "'INT64'"]),
        ({"datatype": "BYTES"}, ["'BYTES'"]),
        ({"datatype": None}, ["datatype", "expected text, found null"]),
        ({"data": None}, ["data", "expected a list"]),
        ({"data": [True] * 784}, ["found true or false"]),
        ({"data": ["0"] * 784}, ["found text"]),
        ({"data": [0] * 783 + [0.5]}, ["UINT8", "found 0.5"]),
        ({"data": [256] * 784}, ["UINT8", "0 to 255"]),
        ({"data": [-1] * 784}, ["0 to 255"]),
        ({"datatype": "FP32", "data": [2] * 784}, ["in 0..1", "found 2 to 2"]),
        ({"datatype": "FP32", "data": [-0.1] * 784}, ["in 0..1"]),
        ({"datatype": "FP64", "data": [1e300] * 784}, ["float32's range"]),
        ({"data": [[0] * 783]}, ["other lengths"]),
        ({"data": [0, [0] * 783]}, ["other lengths"]),
        ({"data": [[[0]] * 784]}, ["list"]),
        ({"parameters": []}, []),
        ({"parameters": [1]}, ["parameters", "JSON object"]),
        ({"parameters": {"shared_memory_region": "r"}}, ["shared memory is not supported"]),
        ({"parameters": {"binary_data_size": 784}}, ["both"]),
    ],
)
def test_a_bad_input_is_an_error_that_says_what_was_expected(
    client: TestClient, change: dict, words: list[str]
) -> None:
    answer = infer(client, ENCODE, IMAGE | change)
    if words:
        assert_error(answer, 400, *words)
    else:
        assert answer.status_code == 200


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"inputs": []}, ["expected images", "found none"]),
        ({"inputs": {}}, ["inputs", "expected a list"]),
        ({"inputs": [1]}, ["inputs[0]", "JSON object"]),
        ({"inputs": [IMAGE, IMAGE]}, ["twice"]),
        ({"outputs": [{"name": "logits"}]}, ["mean or variance", "logits"]),
        ({"outputs": [{"name": "mean"}, {"name": "mean"}]}, ["each once"]),
        ({"outputs": [{}]}, ["outputs[0]: name"]),
        ({"outputs": [{"name": "mean", "parameters": {"binary_data": 1}}]}, ["binary_data", "true or false"]),
        ({"outputs": [{"name": "mean", "parameters": {"classification": 2}}]}, ["classification is not supported"]),
        ({"outputs": [{"name": "mean", "parameters": {"shared_memory_region": "r"}}]}, ["shared memory"]),
        ({"id": 7}, ["id", "expected text"]),
        ({"parameters": {"binary_data_output": "yes"}}, ["binary_data_output"]),
        ({"parameters": {"sequence_id": 3}}, ["sequences are not supported"]),
        ({"parameters": {"colour": "red"}}, ["colour"]),
    ],
)
def test_a_bad_request_is_an_error(client: TestClient, members: dict[str, Any], words: list[str]) -> None:
    answer = client.post(f"/v2/models/{ENCODE}/infer", json={"inputs": [IMAGE]} | members)
    assert_error(answer, 400, *words)


def test_hints_are_not_needed(client: TestClient) -> None:
    hints = {
        "priority": 1,
        "timeout": 1000,
        "headers": {},
        "triton_enable_empty_final_response": True,
        "sequence_id": 0,
    }
    assert infer(client, ENCODE, IMAGE, parameters=hints).status_code == 200


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"inputs": [tensor("count", np.array([401]), "INT64")]}, ["max_samples", "REPARAM_MAX_SAMPLES"]),
        ({"inputs": [tensor("count", np.array([0]), "INT64")]}, ["count"]),
        ({"inputs": [tensor("count", np.array([1, 2]), "INT64")]}, ["expected shape [1]"]),
        ({"inputs": [tensor("count", np.array([1.0]), "FP32")]}, ["INT64"]),
        ({"inputs": [tensor("seed", np.array([-1]), "INT64")]}, ["seed"]),
        ({"inputs": [tensor("seed", np.array([2**63], np.uint64), "UINT64")]}, ["seed"]),
        ({"inputs": [tensor("seed", np.array([2**63], np.uint64), "INT64")]}, ["seed", "INT64"]),
        ({"inputs": [tensor("temperature", np.array([11.0]), "FP32")]}, ["temperature"]),
        ({"inputs": [tensor("count", np.array([1]), "INT64")], "parameters": {"count": 1}}, ["found both"]),
        ({"parameters": {"tempreature": 1}}, ["expected count, seed, temperature", "found tempreature"]),
        ({"parameters": {"count": "many"}}, ["count"]),
    ],
)
def test_a_bad_wish_for_samples_is_an_error(client: TestClient, members: dict[str, Any], words: list[str]) -> None:
    assert_error(client.post("/v2/models/mnist-mlp.sample/infer", json=members), 400, *words)


def test_a_model_without_a_function_has_no_inference_for_it(client: TestClient) -> None:
    assert_error(infer(client, "tiny-ae.sample"), 404, "tiny-ae.decode")


def test_latents_that_drive_the_network_out_of_range_are_an_error(client: TestClient) -> None:
    latents = np.full((1, 50), 3e38, np.float32)
    assert_error(infer_binary(client, "mnist-mlp.decode", "latents", latents, "FP32"), 400, "float32's range")
    nan = np.full((1, 2), np.nan, np.float32)
    assert_error(infer_binary(client, "tiny-2d.decode", "latents", nan, "FP32"), 400, "finite")
    assert_error(infer_binary(client, "tiny-2d.decode", "latents", np.zeros((9, 2)), "FP64"), 400, "max_latents")


@pytest.mark.parametrize(
    ("size", "length", "words"),
    [
        (783, None, ["784 bytes", "found 783"]),
        (785, None, ["at most the 784 bytes"]),
        (-1, None, ["binary_data_size"]),
        (True, None, ["binary_data_size"]),
        ("784", None, ["binary_data_size"]),
        (784, "x", ["Inference-Header-Content-Length", "'x'"]),
        (784, "-1", ["Inference-Header-Content-Length"]),
        (784, "99999999", ["Inference-Header-Content-Length"]),
        (784, "9" * 5000, ["Inference-Header-Content-Length"]),
        (784, "10", ["not JSON"]),
    ],
)
def test_sizes_that_do_not_add_up_are_errors(client: TestClient, size: Any, length: str | None, words) -> None:
    described = {"name": "images", "datatype": "UINT8", "shape": [1, 784], "parameters": {"binary_data_size": size}}
    body, headers = binary_body({"inputs": [described]}, bytes(784))
    if size == 783:
        body = body[:-1]
    if length is not None:
        headers = {"inference-header-content-length": length}
    assert_error(client.post(f"/v2/models/{ENCODE}/infer", content=body, headers=headers), 400, *words)


@pytest.mark.parametrize("data", [None, [], [0.5] * 3 * 784])
def test_data_beside_bytes_is_null_or_an_error(client: TestClient, x, data: list[float] | None) -> None:
    described = {"name": "images", "datatype": "FP32", "shape": [3, 784], "data": data}
    described["parameters"] = {"binary_data_size": x.nbytes}
    body, headers = binary_body({"inputs": [described]}, x.tobytes())
    answer = client.post(f"/v2/models/{ENCODE}/infer", content=body, headers=headers)
    if data is None:
        _assert_same(outputs(answer), _encoded(client, x))
    else:
        assert_error(answer, 400, "both")


def test_bytes_that_no_input_takes_are_an_error(client: TestClient) -> None:
    body, headers = binary_body({"inputs": [IMAGE]}, b"more")
    answer = client.post(f"/v2/models/{ENCODE}/infer", content=body, headers=headers)
    assert_error(answer, 400, "expected 0 bytes after the JSON object", "found 4")


@pytest.mark.parametrize(
    ("accepted", "encoding", "expand"),
    [
        ("gzip", "gzip", gzip.decompress),
        ("deflate", "deflate", zlib.decompress),
        ("br, gzip;q=0, deflate;q=0.5", "deflate", zlib.decompress),
        ("identity", None, bytes),
        ("gzip;q=0.0", None, bytes),
    ],
)
def test_a_response_is_compressed_when_asked(client: TestClient, digits, accepted: str, encoding, expand) -> None:
    images = tensor("images", digits[:3], "UINT8")
    document = {"inputs": [images], "parameters": {"binary_data_output": True}}
    with client.stream(
        "POST", "/v2/models/mnist-mlp.reconstruct/infer", json=document, headers={"accept-encoding": accepted}
    ) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers.get("content-encoding") == encoding and answer.headers["vary"] == "Accept-Encoding"
    content = expand(raw)
    length = int(answer.headers["inference-header-content-length"])
    assert json.loads(content[:length])["outputs"][0]["shape"] == [3, 28, 28]
    assert len(content) - length == 3 * 784 * 4
    with client.stream("GET", "/v2/models/stats", headers={"accept-encoding": "gzip"}) as metadata:
        # Clients expand responses of inferences alone.
        assert "content-encoding" not in metadata.headers


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
SHAPES = st.lists(st.integers(-2, 800) | JSONS, max_size=4) | st.sampled_from([[1, 784], [1], [1, 28, 28], [1, 50]])
PARAMETERS = st.dictionaries(
    st.sampled_from(["binary_data_size", "binary_data", "shared_memory_region", "sequence_id", "count", "seed"]),
    st.integers(-2, 4000) | JSONS,
    max_size=2,
)
MEMBERS = st.fixed_dictionaries(
    {"name": st.sampled_from(["images", "latents", "count", "seed", "temperature", "mean"]) | JSONS},
    optional={
        "datatype": st.sampled_from(["FP32", "UINT8", "INT64", "BF16", "BYTES", "BOOL"]) | JSONS,
        "shape": SHAPES,
        "data": st.lists(st.integers() | st.floats(0, 1), min_size=1, max_size=1) | st.just([0] * 784) | JSONS,
        "parameters": PARAMETERS | JSONS,
    },
)
REQUESTS = st.fixed_dictionaries(
    {"inputs": st.lists(MEMBERS, max_size=3) | JSONS},
    optional={"outputs": st.lists(MEMBERS, max_size=2) | JSONS, "parameters": PARAMETERS | JSONS, "id": JSONS},
).map(lambda document: json.dumps(document).encode())
BODIES = st.tuples(st.binary() | REQUESTS, st.binary(max_size=64) | st.just(bytes(784))).map(b"".join)
LENGTHS = st.none() | st.integers(-1, 2000).map(str) | st.text("0123456789+-_. x", max_size=12)


@given(body=BODIES, length=LENGTHS, function=st.sampled_from(["encode", "decode", "sample", "score"]))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_comes_the_answer_is_a_result_or_an_error(client: TestClient, body, length, function) -> None:
    headers = {} if length is None else {"inference-header-content-length": length}
    answer = client.post(f"/v2/models/tiny-2d.{function}/infer", content=body, headers=headers)
    if answer.status_code == 200:
        assert all(np.isfinite(values).all() for values in outputs(answer).values())
    else:
        assert_error(answer, 400)


@given(body=BODIES, at_json=st.booleans(), length=LENGTHS)
@settings(max_examples=200, deadline=None)
def test_a_message_is_read_or_malformed(body: bytes, at_json: bool, length: str | None) -> None:
    length = str(body.rfind(b"}") + 1) if at_json else length
    try:
        request = parse(body, 2**23, length, [Tensor("images", "FP32", (-1, 28, 28))])
    except MalformedError as error:
        assert str(error)
    else:
        assert all(size >= 0 for found in request.inputs.values() for size in found.shape)


@pytest.mark.parametrize(
    ("piece", "words"),
    [(b"[],", "24 a list"), (b"{},", "members"), (b"[", "24 a list"), (b'{"a":', "members")],
)
def test_json_that_is_millions_of_nothing_is_refused_before_it_is_read(piece: bytes, words: str) -> None:
    body = b'{"inputs":[' + piece * 1_000_000  # to read lists or objects of this size takes seconds
    with TestClient(create_app(Settings(models="mnist-mlp"))) as client:
        for path in (f"models/{ENCODE}/infer", "repository/index"):
            assert_error(client.post(f"/v2/{path}", content=body), 400, "expected", words)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64"])
def test_numbers_that_are_not_finite_are_errors(client: TestClient, bad: float, datatype: str) -> None:
    dtype = {"FP16": "<f2", "FP32": "<f4", "FP64": "<f8"}[datatype]
    for function, name, shape in (("encode", "images", (1, 784)), ("decode", "latents", (1, 2))):
        answer = infer_binary(client, f"tiny-2d.{function}", name, np.full(shape, bad, dtype), datatype)
        assert_error(answer, 400, "finite")
