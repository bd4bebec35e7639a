"""Requests in a row, callers that go or take nothing, and a stop: what a connection leaves behind."""

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.protocol import MAX_IN_A_ROW
from tests.e2e.server import get, running, wait_for

pytestmark = pytest.mark.e2e

HOST = b" HTTP/1.1\r\nhost: x\r\n"
LONG = b"/v1/sample?model=tiny-conv&count=1000&seed=1"  # of a model that is not cheap: some hundred milliseconds


@pytest.fixture(scope="module")
def server(checkpoints: dict[str, Path]) -> Iterator[tuple[str, int]]:
    """Its address and its process."""
    models = ("--model", str(checkpoints["tiny-conv"]), "--model", "mnist-mlp")
    bounds = {"BODY_TIMEOUT_S": "1", "MAX_SAMPLES": "10000", "MAX_QUEUE_IMAGES": "200000"}
    with running(*models, **{f"REPARAM_{name}": value for name, value in bounds.items()}) as (url, process):
        yield url, process.pid


@contextmanager
def connection(url: str, buffer: int | None = None) -> Iterator[socket.socket]:
    with socket.socket() as link:
        if buffer:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        link.settimeout(60)
        link.connect(("127.0.0.1", int(url.rpartition(":")[2])))
        yield link


def _answers(link: socket.socket, methods: str) -> list[tuple[int, bytes]]:
    """The status and body of each answer before the other side closes, in order."""
    data = b"".join(iter(lambda: link.recv(65536), b""))
    answers = []
    for method in methods.split():
        head, _, data = data.partition(b"\r\n\r\n")
        (length,) = [int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if b"content-length" in line]
        length = 0 if method == "HEAD" else length
        answers.append((int(head.split()[1]), data[:length]))
        data = data[length:]
    assert data == b""
    return answers


def _metric(url: str, name: str, **labels: str) -> float:
    families = text_string_to_metric_families(get(f"{url}/metrics").text)
    return sum(s.value for family in families for s in family.samples if s.name == name and s.labels == labels)


def _nothing_is_left(url: str) -> bool:
    """But the question itself."""
    return _metric(url, "reparam_requests_in_flight") == 1 and not _metric(
        url, "reparam_queue_images", model="tiny-conv"
    )


def test_requests_in_a_row_are_answered_in_order_whatever_becomes_of_each(server: tuple[str, int]) -> None:
    url, _ = server
    json_body = b"content-type: application/json\r\n"
    late = b"x-request-timeout-ms: 20\r\n"
    requests = [
        b"GET " + LONG + HOST + late + b"\r\n",
        b"GET /v1/encode" + HOST + b"\r\n",
        b"POST /v1/sample" + HOST + json_body + b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
        b"HEAD /v1/sample?count=2" + HOST + b"\r\n",
        b"POST /v1/encode" + HOST + b"content-type: image/png\r\ncontent-length: 99999999\r\n\r\n",
    ]
    with connection(url) as link:
        link.sendall(b"".join(requests[:-1]) + b"POST /v1/decode/" + HOST + json_body + b"content-length: 2\r\n\r\n{}")
        link.sendall(b"GET " + LONG + HOST + late + b"\r\n")  # the same task of the server is late again
        link.sendall(b"GET /v1/sample?seed=1" + HOST + b"connection: close\r\n\r\n")
        answers = _answers(link, "GET GET POST HEAD POST GET GET")
    assert [status for status, _ in answers] == [504, 405, 200, 200, 404, 504, 200]
    assert answers[-1][1] == get(f"{url}/v1/sample?seed=1").content
    with connection(url) as link:  # what is refused for its length is not waited for
        link.sendall(requests[-1])
        ((status, _),) = _answers(link, "POST")
    assert status == 413
    wait_for(lambda: _nothing_is_left(url))


def test_of_too_many_requests_in_a_row_the_first_are_answered(server: tuple[str, int]) -> None:
    url, _ = server
    with connection(url) as link:
        link.sendall(b"GET " + LONG + HOST + b"\r\n" + (b"GET /healthz" + HOST + b"\r\n") * 200)
        answers = _answers(link, "GET " * (1 + MAX_IN_A_ROW))  # and then the connection ends
    assert {status for status, _ in answers} == {200}
    wait_for(lambda: _nothing_is_left(url))


def test_callers_of_a_link_that_go_leave_no_work_behind(server: tuple[str, int]) -> None:
    """Such a request has no body in which its caller would be seen to go."""
    url, _ = server
    before = _metric(url, "reparam_requests_total", operation="sample", status="499")
    for _ in range(10):
        with connection(url) as link:
            link.sendall(b"GET /v1/sample?model=tiny-conv&count=10000" + HOST + b"accept: application/x-npy\r\n\r\n")
    wait_for(lambda: _nothing_is_left(url))
    assert _metric(url, "reparam_requests_total", operation="sample", status="499") - before >= 10


def _sockets(pid: int) -> int:
    count = 0
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since
            count += str(path.readlink()).startswith("socket:")
    return count


def test_an_answer_that_nobody_takes_is_not_kept(server: tuple[str, int]) -> None:
    url, pid = server
    wait_for(lambda: _nothing_is_left(url))
    before = _sockets(pid)
    with connection(url, buffer=4096) as link:
        link.sendall(b"GET /v1/sample?model=mnist-mlp&count=4000" + HOST + b"accept: application/x-npy\r\n\r\n")
        wait_for(lambda: _sockets(pid) > before)
        wait_for(lambda: _sockets(pid) <= before)
        assert len(b"".join(iter(lambda: link.recv(65536), b""))) < 4000 * 784 * 4


def test_a_stop_that_waits_no_longer_tells_who_is_not_answered_yet() -> None:
    with running("--model", "mnist-mlp", REPARAM_SHUTDOWN_TIMEOUT_S="1") as (url, process):
        with connection(url) as sample, connection(url) as infer:
            begun = HOST + b"content-type: application/json\r\ncontent-length: 9\r\n\r\n{"  # and it never ends
            sample.sendall(b"POST /v1/sample" + begun)
            infer.sendall(b"POST /v2/models/mnist-mlp.sample/infer" + begun)
            wait_for(lambda: _metric(url, "reparam_requests_in_flight") == 3)
            process.send_signal(signal.SIGTERM)
            ((status, problem),) = _answers(sample, "POST")
            assert (status, json.loads(problem)["type"]) == (503, "urn:reparam:problem:draining")
            ((status, told),) = _answers(infer, "POST")
            assert (status, json.loads(told)) == (503, {"error": "the service stopped before the answer was ready"})
        assert process.wait(60) == 0
