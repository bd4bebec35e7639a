"""Messages of the Open Inference Protocol, made and read by hand."""

import json
from typing import Any

import numpy as np
from httpx import Response
from starlette.testclient import TestClient

DTYPES = {"FP32": "<f4", "INT64": "<i8"}
JSON = {"content-type": "application/json"}


def tensor(name: str, values: np.ndarray, datatype: str, nested: bool = False, **parameters: Any) -> dict[str, Any]:
    """An input as JSON."""
    data = values.tolist() if nested else values.ravel().tolist()
    described: dict[str, Any] = {"name": name, "datatype": datatype, "shape": list(values.shape), "data": data}
    return described | ({"parameters": parameters} if parameters else {})


def infer(client: TestClient, model: str, *inputs: dict[str, Any], **members: Any) -> Response:
    """An inference, as JSON."""
    return client.post(f"/v2/models/{model}/infer", json={"inputs": list(inputs)} | members)


def binary_body(document: dict[str, Any], *buffers: bytes) -> tuple[bytes, dict[str, str]]:
    """A body of JSON with bytes after it, and its headers."""
    header = json.dumps(document).encode()
    return b"".join((header, *buffers)), {"inference-header-content-length": str(len(header))}


def infer_binary(client: TestClient, model: str, name: str, values: np.ndarray, datatype: str, **members: Any):
    """An inference of one input as bytes."""
    data = values.tobytes()
    described = {
        "name": name,
        "datatype": datatype,
        "shape": values.shape,
        "parameters": {"binary_data_size": len(data)},
    }
    body, headers = binary_body({"inputs": [described]} | members, data)
    return client.post(f"/v2/models/{model}/infer", content=body, headers=headers)


def outputs(answer: Response) -> dict[str, np.ndarray]:
    """The tensors of a response, from its JSON or from the bytes after it."""
    assert answer.status_code == 200, answer.text
    length = answer.headers.get("inference-header-content-length")
    assert answer.headers["content-type"] == ("application/json" if length is None else "application/octet-stream")
    document = json.loads(answer.content if length is None else answer.content[: int(length)])
    rest, found = b"" if length is None else answer.content[int(length) :], {}
    for output in document["outputs"]:
        dtype = DTYPES[output["datatype"]]
        if "data" in output:
            values = np.array(output["data"], dtype)
        else:
            size = output["parameters"]["binary_data_size"]
            values, rest = np.frombuffer(rest[:size], dtype), rest[size:]
        found[output["name"]] = values.reshape(output["shape"])
    assert not rest
    return found


def assert_error(answer: Response, status: int, *words: str) -> None:
    """The answer is an error in the protocol's form, and says so."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json"), answer.text
    document = answer.json()
    assert document.keys() == {"error"} and "\n" not in document["error"]
    assert all(word in document["error"] for word in words), document
    assert answer.headers["x-request-id"]
