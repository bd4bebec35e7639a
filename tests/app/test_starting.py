"""What is answered on a port whose service loads its models yet."""

import socket
import threading
from collections.abc import Iterator

import httpx
import pytest

from app.listeners import listen
from app.settings import Settings
from app.starting import Starting
from tests.app.lines import Lines
from tests.app.problems import assert_problem


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with listen("127.0.0.1", 0) as listener:
        yield listener


def _url(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def _starting(listener: socket.socket, **settings: object) -> Starting:
    return Starting([listener], Settings(models="mnist-mlp,/models/mine", **settings))


def test_it_ends_with_whoever_has_said_nothing(listener: socket.socket) -> None:
    with _starting(listener), socket.create_connection(listener.getsockname(), timeout=60) as silent:
        httpx.get(f"{_url(listener)}/healthz", timeout=60)
    assert "starting" not in {thread.name for thread in threading.enumerate()}
    silent.close()


def test_it_is_alive_and_not_ready(listener: socket.socket) -> None:
    with _starting(listener), httpx.Client(base_url=_url(listener), timeout=60) as client:
        assert client.get("/healthz").json() == {"status": "alive"}
        assert client.get("/v2/health/live").json() == {"live": True}
        assert client.head("/healthz").status_code == 200
        for method, path in (("GET", "/readyz"), ("POST", "/v1/encode"), ("GET", "/nowhere"), ("POST", "/healthz")):
            answer = client.request(method, path, headers={"x-request-id": "mine"})
            document = assert_problem(answer, 503, "starting")
            assert document["request_id"] == "mine" and document["detail"].count("mnist-mlp, mine") == 1
            assert (answer.headers["retry-after"], answer.headers["connection"]) == ("1", "close")
            assert answer.headers["x-content-type-options"] == "nosniff"
        ready = client.get("/v2/health/ready")
        assert ready.status_code == 503 and "mnist-mlp" in ready.json()["error"]


def test_a_page_of_a_configured_origin_may_read_it(listener: socket.socket) -> None:
    page = {"origin": "https://pages.example"}
    asked = page | {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    with _starting(listener, cors_origins=page["origin"]), httpx.Client(base_url=_url(listener), timeout=60) as client:
        for answer in (client.options("/v1/encode", headers=asked), client.post("/v1/encode", headers=page)):
            assert answer.headers["access-control-allow-origin"] == page["origin"]
            assert (answer.headers["connection"], answer.headers["cross-origin-resource-policy"]) == (
                "close",
                "cross-origin",
            )
        assert_problem(answer, 503, "starting")
        other = client.get("/readyz", headers={"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers


def test_each_answer_is_a_line(listener: socket.socket, lines: Lines) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"x-request-id": "mine", "traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    with _starting(listener):
        answer = httpx.post(f"{_url(listener)}/v1/encode?key=secret", headers=headers, timeout=60)
        httpx.head(f"{_url(listener)}/healthz", timeout=60)
        with socket.create_connection(listener.getsockname(), timeout=60) as damaged:
            damaged.sendall(b"what is this\r\n\r\n")
            assert damaged.recv(65536).startswith(b"HTTP/1.1 400 ")
    first, second, third = lines.json
    told = {name: first[name] for name in ("method", "path", "status", "bytes", "client", "problem", "request_id")}
    assert told == {
        "method": "POST",
        "path": "/v1/encode",
        "status": 503,
        "bytes": len(answer.content),
        "client": "127.0.0.1",
        "problem": "starting",
        "request_id": "mine",
    }
    assert first["trace_id"] == trace
    assert (second["method"], second["status"], second["bytes"]) == ("HEAD", 200, 0)
    assert (third["status"], third["problem"]) == (400, "malformed-request")


def test_it_writes_no_lines_where_none_are_wanted(listener: socket.socket, lines: Lines) -> None:
    with _starting(listener, access_log=False):
        assert httpx.get(f"{_url(listener)}/readyz", timeout=60).status_code == 503
    assert not lines.json


def test_it_names_the_models_that_are_waited_for(listener: socket.socket) -> None:
    with _starting(listener, lazy_models=True):
        assert "loading them: mnist-mlp;" in httpx.get(f"{_url(listener)}/readyz", timeout=60).json()["detail"]


def test_a_connection_that_was_silent_is_closed_for_its_first_request_is_the_services(listener: socket.socket) -> None:
    address = listener.getsockname()
    with _starting(listener) as starting, socket.create_connection(address, timeout=60) as silent:
        httpx.get(f"{_url(listener)}/healthz", timeout=60)  # by then the other one is accepted, too
        starting.close()
        assert silent.recv(65536) == b""


def test_a_request_that_is_on_its_way_when_it_ends_is_answered(listener: socket.socket) -> None:
    address = listener.getsockname()
    with _starting(listener) as starting, socket.create_connection(address, timeout=60) as early:
        httpx.get(f"{_url(listener)}/healthz", timeout=60)  # by then the other one is accepted, too
        starting.close()
        early.sendall(b"GET /readyz HTTP/1.1\r\nhost: me\r\n\r\n")
        assert early.recv(65536).startswith(b"HTTP/1.1 503 ")


def test_afterwards_the_port_is_another_ones_and_who_was_accepted_is_still_answered(listener: socket.socket) -> None:
    address = listener.getsockname()
    with _starting(listener) as starting, socket.create_connection(address, timeout=60) as early:
        early.sendall(b"GET /readyz HTTP/1.1\r\n")
        httpx.get(f"{_url(listener)}/healthz", timeout=60)  # by then the other one is accepted, too
        starting.close()
        starting.close()
        with socket.create_connection(address, timeout=60) as late:
            late.sendall(b"GET /readyz HTTP/1.1\r\nhost: me\r\n\r\n")
            listener.settimeout(60)
            taken, _ = listener.accept()
            with taken:
                assert taken.getpeername() == late.getsockname()
        early.sendall(b"host: me\r\n\r\n")
        assert early.recv(65536).startswith(b"HTTP/1.1 503 ")
