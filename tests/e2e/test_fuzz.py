"""Damaged requests on a real connection: the server answers or closes, in time, and goes on."""

import gzip
import re
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.e2e.server import get, running

pytestmark = pytest.mark.e2e

TIMEOUT_S = 1  # of a body, and of a connection that is idle
WAIT_S = 60 * TIMEOUT_S  # for a machine that has more to do

LATENTS = b'{"latents": [[0.5, -1]]}'
ZIPPED = gzip.compress(LATENTS, mtime=0)
DECODE = b"POST /v1/decode?model=tiny-2d HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
INFER = b"POST /v2/models/tiny-2d.decode/infer HTTP/1.1\r\nhost: x\r\ninference-header-content-length: 95\r\n"
TENSOR = b'{"inputs":[{"name":"latents","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":8}}]}'
SOUND = [
    b"GET /v1/sample?count=2&seed=1 HTTP/1.1\r\nhost: x\r\naccept: application/json;q=0.5, */*\r\n\r\n",
    b"GET /v1/models/tiny-2d HTTP/1.1\r\nhost: x\r\nx-request-id: 1\r\ntraceparent: 00-1-1-01\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nhost: x\r\naccept: application/openmetrics-text\r\n\r\n",
    b"HEAD /healthz HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
    DECODE + b"content-length: %d\r\n\r\n" % len(LATENTS) + LATENTS,
    DECODE + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(ZIPPED) + ZIPPED,
    DECODE + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\nx-trailer: 1\r\n\r\n" % (len(LATENTS), LATENTS),
    DECODE + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(LATENTS) + LATENTS,
    INFER + b"content-length: %d\r\n\r\n" % (len(TENSOR) + 8) + TENSOR + bytes(8),
]
LINES = [
    b"content-length: 5",
    b"content-length: -1",
    b"content-length: 99999999999999999999",
    b"transfer-encoding: chunked",
    b"transfer-encoding: gzip, chunked",
    b"content-encoding: gzip",
    b"content-encoding: br",
    b"content-type: multipart/form-data; boundary=\xff",
    b"content-type: application/x-npy",
    b"accept: text/html;q=\xe9",
    b"inference-header-content-length: 10",
    b"x-request-timeout-ms: \xb2",
    b"expect: 100-continue",
    b"connection: upgrade\r\nupgrade: websocket",
    b"connection: close",
    b" folded",
    b"no colon",
    b"nul: \x00",
]
PIECES = [
    b"\x00",
    b"%00",
    b"%ff%fe",
    b"%ed%a0%80",
    b"\xff",
    b"\r\n",
    b"\n",
    b" ",
    b"?",
    b"&model=",
    b"a=1&" * 5000,
    b"/..",
]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """One or more requests in a row: some lines of the heads changed, some bytes, and perhaps the end missing."""
    data = b""
    for _ in range(draw(st.integers(1, 3))):
        head, end, body = draw(st.sampled_from(SOUND)).partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        for line in draw(st.lists(st.sampled_from([*LINES, *lines[1:]]), max_size=2)):
            lines.insert(draw(st.integers(1, len(lines))), line)
        if draw(st.booleans()) and len(lines) > 1:
            lines.pop(draw(st.integers(1, len(lines) - 1)))
        data += b"\r\n".join(lines) + end + body
    for piece in draw(st.lists(st.sampled_from(PIECES) | st.binary(min_size=1, max_size=2), max_size=2)):
        place = draw(st.integers(0, len(data)))
        data = data[:place] + piece + data[place + draw(st.sampled_from([0, len(piece)])) :]
    return data[: draw(st.sampled_from([len(data)] * 3 + [len(data) - 1, len(data) // 2, 20]))]


@pytest.fixture(scope="module")
def server(checkpoints) -> Iterator[str]:
    """It must end cleanly, without a traceback in what it wrote."""
    bounds = {f"REPARAM_{name}": str(TIMEOUT_S) for name in ("BODY_TIMEOUT_S", "KEEP_ALIVE_S")}
    quiet = {"REPARAM_LOG_LEVEL": "error", "REPARAM_ACCESS_LOG": "0"}
    with running("--model", str(checkpoints["tiny-2d"]), **bounds, **quiet) as (url, _):
        yield url


def _connect(url: str) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), timeout=WAIT_S)


def _all(link: socket.socket) -> bytes:
    """What is answered until the other side closes."""
    data = b""
    try:
        while chunk := link.recv(65536):
            data += chunk
    except ConnectionResetError:  # it closes with something unread
        pass
    return data


def _statuses(answers: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)]


# Connections wait for each other's time limits at once, not one by one.
@seed(1)
@settings(max_examples=3, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=[*HealthCheck])
@given(st.lists(damaged(), min_size=100, max_size=100))
def test_damaged_requests_are_answered_or_closed(server: str, sent: list[bytes]) -> None:
    links = [_connect(server) for _ in sent]
    try:
        for link, data in zip(links, sent, strict=True):
            link.sendall(data)
        deadline = time.monotonic() + WAIT_S
        for link, data in zip(links, sent, strict=True):
            link.settimeout(max(0.1, deadline - time.monotonic()))
            try:
                statuses = _statuses(_all(link))
            except TimeoutError:
                raise AssertionError(f"neither an end nor an answer to {data!r}") from None
            assert all(status < 500 or status == 501 for status in statuses), (data, statuses)  # codings of a body
    finally:
        for link in links:
            link.close()
    assert get(f"{server}/readyz").status_code == 200
