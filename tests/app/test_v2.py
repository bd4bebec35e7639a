"""What the Open Inference Protocol tells of the server and its models, and how it fails."""

import shutil
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from tests.app.v2 import assert_error, infer, tensor

IMAGES = {"name": "images", "datatype": "FP32", "shape": [-1, 28, 28]}


def test_the_server_tells_its_name_its_version_and_its_extensions(client: TestClient) -> None:
    document = client.get("/v2").json()
    assert document["name"] == "reparam" and document["version"] == version("reparam")
    assert {"binary_tensor_data", "model_configuration", "model_repository", "statistics"} <= set(
        document["extensions"]
    )


def test_it_is_alive_and_ready(client: TestClient) -> None:
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get("/v2/models/mnist-mlp.encode/ready").json() == {"name": "mnist-mlp.encode", "ready": True}


def test_every_function_that_a_model_has_is_a_model(client: TestClient) -> None:
    index = client.post("/v2/repository/index").json()
    rows = {"encode", "decode", "reconstruct", "score", "sample"}
    expected = {
        f"{card['name']}.{function}"
        for card in client.get("/v1/models").json()["models"]
        for function in rows & set(card["capabilities"])
    }
    assert {model["name"] for model in index} == expected and len(index) == len(expected)
    assert all((m["version"], m["state"], m["reason"]) == ("1", "READY", "") for m in index)
    assert "tiny-ae.sample" not in expected and "tiny-ae.score" in expected
    assert client.post("/v2/repository/index", json={"ready": True}).json() == index


def test_a_lazy_model_is_not_ready_once_it_could_not_be_loaded_until_it_is(
    checkpoints: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Path(shutil.copytree(checkpoints["tiny-2d"], tmp_path / "served"))
    weights = folder / "model.safetensors"
    sound, name = weights.read_bytes(), "tiny-2d.decode"
    latents = tensor("latents", np.zeros((1, 2)), "FP32")
    with TestClient(create_app(Settings(models=f"mnist-mlp,{folder}", lazy_models=True))) as client:

        def states(**asked: bool) -> dict[str, str]:
            index = client.post("/v2/repository/index", json=asked).json()
            return {model["name"]: model["state"] for model in index}

        weights.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
        assert client.get(f"/v2/models/{name}/ready").json() == {"name": name, "ready": True}  # nobody has tried
        assert set(states().values()) == {"READY"}
        for answer in (
            infer(client, name, latents),
            client.post("/v1/decode?model=tiny-2d", json={"latents": [[0, 0]]}),
        ):
            assert answer.status_code == 503 and str(tmp_path) not in answer.text and "sha256" not in answer.text
            told = answer.json().get("detail") or answer.json()["error"]
            request_id = answer.headers["x-request-id"]
            assert told == f"the model cannot be loaded; the log has why, under the request_id {request_id}"
        assert caplog.text.count(f"a model cannot be loaded: {folder}") == 2
        answer = client.get(f"/v2/models/{name}/ready")
        assert (answer.status_code, answer.json()) == (503, {"name": name, "ready": False})
        assert answer.headers["retry-after"] == "1"
        assert states()[name] == "UNAVAILABLE" and states()["mnist-mlp.decode"] == "READY"
        assert name not in states(ready=True) and "mnist-mlp.decode" in states(ready=True)
        weights.write_bytes(sound)
        assert client.get(f"/v2/models/{name}/ready").status_code == 503
        assert infer(client, name, latents).status_code == 200
        assert client.get(f"/v2/models/{name}/ready").json() == {"name": name, "ready": True}
        assert set(states().values()) == {"READY"}


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"ready": "yes"}', b'{"ready": 1}'])
def test_a_bad_request_for_the_index_is_an_error(client: TestClient, body: bytes) -> None:
    assert_error(client.post("/v2/repository/index", content=body), 400, "expected" if body != b"{" else "not JSON")


def test_metadata_of_every_function(client: TestClient) -> None:
    def described(name: str) -> tuple[list, list]:
        document = client.get(f"/v2/models/{name}").json()
        assert document["name"] == name and document["versions"] == ["1"] and document["platform"]
        assert client.get(f"/v2/models/{name}/versions/1").json() == document
        return document["inputs"], document["outputs"]

    def latents(name: str, width: int) -> dict:
        return {"name": name, "datatype": "FP32", "shape": [-1, width]}

    assert described("mnist-mlp.encode") == ([IMAGES], [latents("mean", 50), latents("variance", 50)])
    assert described("tiny-ae.encode") == ([IMAGES], [latents("mean", 2)])
    assert described("mnist-mlp.decode") == ([latents("latents", 50)], [IMAGES])
    assert described("mnist-mlp.reconstruct") == ([IMAGES], [IMAGES])
    inputs, drawn = described("mnist-mlp.sample")
    assert [(i["name"], i["datatype"], i["shape"]) for i in inputs] == [
        ("count", "INT64", [1]),
        ("seed", "INT64", [1]),
        ("temperature", "FP32", [1]),
    ]
    assert drawn == [IMAGES, latents("latents", 50), {"name": "seed", "datatype": "INT64", "shape": [1]}]


@pytest.mark.parametrize(
    ("model", "names"),
    [
        ("tiny-2d", ["elbo", "log_likelihood", "kl", "percentile"]),
        ("tiny-ae", ["log_likelihood", "percentile"]),
        ("tiny-conv", ["elbo", "log_likelihood", "kl"]),
    ],
)
def test_a_score_has_the_columns_that_the_model_has(client: TestClient, model: str, names: list[str]) -> None:
    outputs = client.get(f"/v2/models/{model}.score").json()["outputs"]
    assert [output["name"] for output in outputs] == names
    assert all(output["shape"] == [-1] for output in outputs)
    answer = infer(client, f"{model}.score", tensor("images", np.zeros((2, 28, 28)), "FP32"))
    assert [output["name"] for output in answer.json()["outputs"]] == names


def test_the_configuration_leaves_the_rows_out_and_names_their_limit(client: TestClient) -> None:
    document = client.get("/v2/models/mnist-mlp.encode/config").json()
    assert document.keys() == {"name", "platform", "backend", "max_batch_size", "input", "output"}
    assert document["max_batch_size"] == 8  # max_images of these tests
    assert document["input"] == [{"name": "images", "data_type": "TYPE_FP32", "dims": [28, 28], "optional": False}]
    assert document["output"][0] == {"name": "mean", "data_type": "TYPE_FP32", "dims": [50]}
    drawing = client.get("/v2/models/mnist-mlp.sample/versions/1/config").json()
    assert drawing["max_batch_size"] == 0 and drawing["input"][0]["dims"] == [1] and drawing["input"][0]["optional"]


def test_statistics_count_what_was_inferred() -> None:
    zeros = tensor("images", np.zeros((3, 28, 28)), "FP32")
    with TestClient(create_app(Settings(models="mnist-mlp"))) as client:
        before = client.get("/v2/models/mnist-mlp.encode/stats").json()["model_stats"]
        assert infer(client, "mnist-mlp.encode", zeros).status_code == 200
        assert infer(client, "mnist-mlp.encode", zeros).status_code == 200
        assert infer(client, "mnist-mlp.encode", tensor("images", np.zeros((1, 28, 28)), "FP32")).status_code == 200
        assert infer(client, "mnist-mlp.encode").status_code == 400
        every = client.get("/v2/models/stats").json()["model_stats"]
        (one,) = client.get("/v2/models/mnist-mlp.encode/versions/1/stats").json()["model_stats"]
    assert before[0]["inference_count"] == before[0]["execution_count"] == before[0]["last_inference"] == 0
    assert one in every and len(every) == 5
    assert (one["name"], one["version"], one["inference_count"], one["execution_count"]) == (
        "mnist-mlp.encode",
        "1",
        7,
        3,
    )
    assert one["last_inference"] > 1.7e12
    stats = one["inference_stats"]
    assert stats["success"]["count"] == 3 and stats["fail"]["count"] == 1 and stats["cache_hit"]["count"] == 0
    parts = ("queue", "compute_input", "compute_infer", "compute_output")
    assert stats["success"]["ns"] == sum(stats[part]["ns"] for part in parts)
    assert all(0 < stats[part]["ns"] < 10e9 for part in parts)
    assert {batch["batch_size"]: batch["compute_infer"]["count"] for batch in one["batch_stats"]} == {1: 1, 3: 2}
    assert sum(batch["compute_infer"]["ns"] for batch in one["batch_stats"]) == stats["compute_infer"]["ns"]


@pytest.mark.parametrize("rest", ["", "/ready", "/config", "/stats"])
def test_what_is_not_served_is_an_error_that_says_what_is(client: TestClient, rest: str) -> None:
    def get(name: str):
        return client.get(f"/v2/models/{name}{rest}")

    assert_error(get("nobody.encode"), 404, "MODEL.FUNCTION", "mnist-mlp", "'nobody.encode'")
    assert_error(get("mnist-mlp"), 404, "MODEL.FUNCTION", "'mnist-mlp'")
    assert_error(get("tiny-ae.sample"), 404, "tiny-ae.encode", "'tiny-ae.sample'")
    assert_error(get("tiny-2d.map"), 404, "tiny-2d.sample", "'tiny-2d.map'")
    assert_error(get("mnist-mlp.encode/versions/2"), 404, "expected 1", "'2'")


def test_models_are_neither_loaded_nor_unloaded(client: TestClient) -> None:
    for action in ("load", "unload"):
        answer = client.post(f"/v2/repository/models/mnist-mlp.encode/{action}", json={})
        assert_error(answer, 409, "when the server starts", "REPARAM_MODELS")


def test_errors_take_the_form_of_the_protocol_here_and_only_here(client: TestClient) -> None:
    assert_error(client.get("/v2/nothing"), 404, "/v2/nothing")
    refused = client.get("/v2/models/mnist-mlp.encode/infer")
    assert_error(refused, 405)
    assert refused.headers["allow"] == "POST"
    large = client.post("/v2/models/mnist-mlp.encode/infer", content=b" " * 200_001)
    assert_error(large, 413, "REPARAM_MAX_BODY_BYTES")
    assert client.get("/v2x").headers["content-type"] == "application/problem+json"


def test_what_is_unexpected_is_an_error_and_tells_nothing_of_the_inside() -> None:
    app = create_app(Settings(models="mnist-mlp"))

    def broken() -> None:
        raise RuntimeError("the secret of the inside")

    app.add_api_route("/v2/broken", broken)
    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.get("/v2/broken")
        assert_error(answer, 500, "the log has it")
        assert "secret" not in answer.text
