"""Compressed bodies of requests: Content-Encoding, as Triton's clients send them."""

import gzip

import numpy as np
import pytest
from starlette.testclient import TestClient

from tests.app.v2 import assert_error, binary_body, outputs

PATH = "/v2/models/mnist-mlp.encode/infer"


def _body(digits: np.ndarray) -> tuple[bytes, dict[str, str]]:
    data = digits[:2].tobytes()
    described = {"name": "images", "datatype": "UINT8", "shape": [2, 28, 28]}
    return binary_body({"inputs": [described | {"parameters": {"binary_data_size": len(data)}}]}, data)


def test_a_compressed_body_is_what_it_was(client: TestClient, digits: np.ndarray) -> None:
    """The length of the JSON object is that before the compression."""
    body, headers = _body(digits)
    plain = client.post(PATH, content=body, headers=headers)
    packed = client.post(PATH, content=gzip.compress(body), headers=headers | {"content-encoding": "gzip"})
    for name, values in outputs(plain).items():
        np.testing.assert_array_equal(outputs(packed)[name], values)


@pytest.mark.parametrize("body", [b"no gzip", gzip.compress(b"{}", mtime=0)[:-4]])
def test_a_body_that_is_not_what_it_says_is_an_error(client: TestClient, body: bytes) -> None:
    assert_error(client.post(PATH, content=body, headers={"content-encoding": "gzip"}), 400, "gzip")


def test_a_body_that_expands_beyond_the_limit_is_an_error(client: TestClient) -> None:
    body = gzip.compress(b" " * 200_001)
    answer = client.post(PATH, content=body, headers={"content-encoding": "gzip"})
    assert_error(answer, 413, "REPARAM_MAX_BODY_BYTES")
