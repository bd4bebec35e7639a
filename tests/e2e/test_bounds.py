"""Deadlines, callers that go, senders that are slow, and more work than there may be: on a real connection."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.client import HTTPResponse
from urllib.parse import urlsplit

import httpx
import pytest

from app.protocol import MAX_HEAD_BYTES
from tests.app.problems import assert_problem
from tests.e2e.server import get, post, running, wait_for

pytestmark = pytest.mark.e2e

SLOW = {"count": 1000, "seed": 1}  # of a model that is not cheap: some hundred milliseconds


@contextmanager
def connection(url: str) -> Iterator[socket.socket]:
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as link:
        yield link


def _answer(link: socket.socket) -> tuple[int, dict[str, object]]:
    """What is answered before the other side closes."""
    data = b""
    with suppress(ConnectionResetError):  # of who still sent when the other side had closed; the answer came before
        while chunk := link.recv(65536):
            data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body) if body else {}


@pytest.fixture(scope="module")
def conv(checkpoints) -> str:
    return str(checkpoints["tiny-conv"])


@pytest.fixture(scope="module")
def server(conv: str) -> Iterator[str]:
    bounds = {
        "BODY_TIMEOUT_S": "1",
        "MAX_QUEUE_IMAGES": "100",
        "MAX_BODY_BYTES": "100000",
        "MAX_BUFFERED_BYTES": "200000",
        "MAX_REQUESTS": "20",
    }
    with running("--model", conv, "--model", "mnist-mlp", **{f"REPARAM_{k}": v for k, v in bounds.items()}) as (url, _):
        yield url


def test_a_caller_that_allows_less_time_is_answered_in_time(server: str) -> None:
    answer = post(f"{server}/v1/sample", json=SLOW, headers={"x-request-timeout-ms": "1"})
    assert_problem(answer, 504, "deadline-exceeded")
    for bad in ("0", "-1", "1.5", "soon", ""):
        answer = get(f"{server}/v1/sample", headers={"x-request-timeout-ms": bad})
        detail = assert_problem(answer, 422, "malformed-request")["detail"]
        assert detail == f"X-Request-Timeout-Ms: expected milliseconds, 1 or more, found '{bad}'"
    assert get(f"{server}/v1/sample", headers={"x-request-timeout-ms": "9" * 30}).status_code == 200


@pytest.mark.parametrize(
    "head", [b"", b"POST /v1/sample HTTP/1.1\r\nhost: x\r\n", b"POST /v1/sample HTTP/1.1\r\nx: " + b"y" * 100]
)
def test_a_head_that_does_not_come_is_not_waited_for(server: str, head: bytes) -> None:
    began = time.monotonic()
    with connection(server) as link:
        link.sendall(head)
        if head:
            status, problem = _answer(link)
            assert status == 408 and "REPARAM_BODY_TIMEOUT_S" in str(problem["detail"])
        else:
            assert link.recv(1) == b""
        assert time.monotonic() - began > 0.9  # the loop reads its clock once a turn


def test_a_body_that_does_not_come_is_not_waited_for(server: str) -> None:
    with connection(server) as link:
        link.sendall(b"POST /v1/encode HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\ncontent-length: 9999\r\n\r\n")

        def drip() -> None:
            try:
                for _ in range(30):
                    link.sendall(b"x")
                    time.sleep(0.1)
            except OSError:
                pass  # the other side has hung up, as it should

        thread = threading.Thread(target=drip)
        thread.start()
        status, problem = _answer(link)
        thread.join()
    assert status == 408 and problem["type"] == "urn:reparam:problem:request-timeout"
    assert "found" in str(problem["detail"]) and "REPARAM_BODY_TIMEOUT_S" in str(problem["detail"])


def test_a_head_without_end_is_cut_off(server: str) -> None:
    with connection(server) as link:
        head = b"GET /v1/sample HTTP/1.1\r\nhost: x\r\nx: "
        link.sendall(head + b"y" * (MAX_HEAD_BYTES + 1 - len(head)))
        status, problem = _answer(link)
    assert status == 431 and str(MAX_HEAD_BYTES) in str(problem["detail"])


ALIVE = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
CHUNKED = b"host: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"


def _whole(link: socket.socket) -> bytes:
    data = b""
    while chunk := link.recv(65536):
        data += chunk
    return data


def _status(link: socket.socket) -> int:
    """Of one answer, which is read to its end; the connection stays."""
    with HTTPResponse(link) as answer:
        answer.begin()
        answer.read()
        return answer.status


def test_line_ends_after_an_answer_do_not_keep_a_connection(server: str) -> None:
    with connection(server) as link:
        link.sendall(ALIVE)
        assert _status(link) == 200
        link.sendall(b"\r\n")
        assert link.recv(1) == b""  # rather than nothing, for ever


def test_the_rest_of_a_body_is_not_waited_for_once_it_is_answered(server: str) -> None:
    with connection(server) as link:
        link.sendall(b"POST /nothing HTTP/1.1\r\n" + CHUNKED)
        assert _status(link) == 404
        with pytest.raises(OSError):
            for _ in range(600):
                link.sendall(b"1\r\na\r\n")
                time.sleep(0.1)


@pytest.mark.parametrize("version", [b"HTTP/1.0\r\n", b"HTTP/1.1\r\nconnection: close\r\n"])
def test_an_early_answer_reaches_who_still_sends_though_the_connection_ends(server: str, version: bytes) -> None:
    with connection(server) as link:
        link.sendall(b"POST /nothing " + version + b"host: x\r\ncontent-length: 1000000\r\n\r\n")
        assert link.recv(4, socket.MSG_PEEK) == b"HTTP"  # it is answered, and no more is to come
        for _ in range(10):
            link.sendall(bytes(100_000))
        assert _whole(link).startswith(b"HTTP/1.1 404 ")
        with pytest.raises(OSError):  # nor is what still comes taken for ever
            for _ in range(600):
                link.sendall(b"a")
                time.sleep(0.1)


@pytest.mark.parametrize(
    ("begun", "status"),
    [
        (b"GET / HTTP/1.1\r\nhost: x\r\nx: ", 431),
        (b"NONSENSE\r\n", 400),
        (b"POST /v1/decode HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n", 501),
        (b"POST /v1/decode HTTP/1.1\r\n" + CHUNKED + b"no length\r\n", 400),
    ],
)
def test_a_refusal_of_what_is_no_request_reaches_who_still_sends(server: str, begun: bytes, status: int) -> None:
    with connection(server) as link:
        link.sendall(begun)
        for _ in range(30):
            link.sendall(b"a" * 100_000)
        assert _whole(link).startswith(b"HTTP/1.1 %d " % status)


def test_trailers_without_end_are_cut_off(server: str) -> None:
    with connection(server) as link:
        link.sendall(b"POST /v1/decode HTTP/1.1\r\n" + CHUNKED + b"2\r\n{}\r\n0\r\nx: ")
        time.sleep(0.1)
        link.sendall(b"y" * (MAX_HEAD_BYTES + 1))
        assert _answer(link)[0] == 431


def test_trailers_are_no_headers(server: str) -> None:
    with connection(server) as link:
        trailers = b"x-request-id: trailer\r\nx-request-timeout-ms: soon\r\n\r\n"
        link.sendall(b"GET /v1/models HTTP/1.1\r\nconnection: close\r\n" + CHUNKED + b"2\r\n{}\r\n0\r\n" + trailers)
        answer = _whole(link)
    assert answer.startswith(b"HTTP/1.1 200 ") and b"trailer" not in answer


def test_space_after_a_header_is_no_part_of_it(server: str) -> None:
    fields = (
        b"x-request-id: mine \r\nx-request-timeout-ms: 9000\t \r\nconnection: close\r\ntransfer-encoding: chunked \r\n"
    )
    with connection(server) as link:
        link.sendall(b"GET /v1/models HTTP/1.1\r\nhost: x\r\n" + fields + b"\r\n2\r\n{}\r\n0\r\n\r\n")
        answer = _whole(link)
    assert answer.startswith(b"HTTP/1.1 200 ") and b"\r\nx-request-id: mine\r\n" in answer


def test_what_is_no_chunk_is_told(server: str) -> None:
    with connection(server) as link:
        link.sendall(b"POST /v1/decode HTTP/1.1\r\n" + CHUNKED + b"two\r\n{}\r\n")
        status, problem = _answer(link)
    assert status == 400 and problem["type"] == "urn:reparam:problem:malformed-request"


@pytest.mark.parametrize(
    "lines",
    [
        b"content-length: 2\r\ntransfer-encoding: chunked",
        b"transfer-encoding: chunked\r\ncontent-length: 2",
        b"content-length: 2\r\ncontent-length: 3",
        b"content-length: -2",
        b"content-length: 2, 2",
        b"content-length: 99999999999999999999",
        b"transfer-encoding: chunked, identity",
    ],
)
def test_two_minds_about_the_length_of_a_body_are_refused(server: str, lines: bytes) -> None:
    with connection(server) as link:
        link.sendall(b"POST /v1/decode HTTP/1.1\r\nhost: x\r\n" + lines + b"\r\n\r\n{}")
        status, problem = _answer(link)
    assert status == 400 and problem["type"] == "urn:reparam:problem:malformed-request"


@pytest.mark.parametrize(
    "lines",
    [b"gzip", b"gzip, chunked", b"identity, chunked", b"gzip\r\ntransfer-encoding: chunked"],
)
def test_a_transfer_coding_that_is_not_undone_is_refused(server: str, lines: bytes) -> None:
    with connection(server) as link:
        coded = b"content-type: application/json\r\ntransfer-encoding: " + lines + b"\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
        link.sendall(b"POST /v1/decode HTTP/1.1\r\nhost: x\r\n" + coded + ALIVE)
        answer = _whole(link)
    assert answer.count(b"HTTP/1.1 ") == 1 and answer.startswith(b"HTTP/1.1 501 Not Implemented\r\n")
    assert b"urn:reparam:problem:not-implemented" in answer and b"expected no Transfer-Encoding but chunked" in answer


@pytest.mark.parametrize(("lines", "found"), [(b"", 0), (b"host: x\r\nhost: y\r\n", 2)])
def test_a_request_without_one_host_is_refused(server: str, lines: bytes, found: int) -> None:
    with connection(server) as link:
        link.sendall(b"GET /healthz HTTP/1.1\r\n" + lines + b"\r\n" + ALIVE)
        answer = _whole(link)
    assert answer.count(b"HTTP/1.1 ") == 1 and answer.startswith(b"HTTP/1.1 400 ")
    assert b"expected one Host header, found %d" % found in answer
    with connection(server) as link:
        link.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")  # which had none yet
        assert _whole(link).startswith(b"HTTP/1.1 200 ")


def test_a_body_is_asked_for_if_it_will_be_read(server: str) -> None:
    head = b"host: x\r\nexpect: 100-continue\r\ncontent-type: %b\r\ncontent-length: 2\r\n\r\n"
    with connection(server) as link:
        link.sendall(b"POST /v1/decode HTTP/1.1\r\n" + head % b"application/json")
        assert link.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        link.sendall(b"{}")
        assert _status(link) == 422
        link.sendall(b"POST /v1/decode HTTP/1.1\r\n" + head % b"text/plain")
        assert _status(link) == 415


UPGRADE = (
    b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"  # as Java's client asks
)


def test_a_request_for_another_protocol_is_answered_in_this_one(server: str) -> None:
    with connection(server) as link:
        link.sendall((ALIVE[:-2] + UPGRADE + b"\r\n") * 2 + ALIVE[:-2] + b"connection: close\r\n\r\n")
        assert _whole(link).count(b"HTTP/1.1 200 ") == 3


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("split", [0, 30, -2, None])  # of all that is sent, before its end, or before its body
def test_the_body_of_such_a_request_is_read(server: str, chunked: bool, split: int | None) -> None:
    head = b"POST /v1/sample?model=mnist-mlp HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n" + UPGRADE
    if chunked:
        head, body = head + b"transfer-encoding: chunked\r\n\r\n", b'5\r\n{"see\r\n5\r\nd":7}\r\n0\r\n\r\n'
    else:
        head, body = head + b"content-length: 10\r\n\r\n", b'{"seed":7}'
    sent = head + body
    at = len(head) if split is None else split
    with connection(server) as link:
        for _ in range(2):
            for part in (sent[:at], sent[at:]):
                link.sendall(part)
                time.sleep(0.02)
            answer = HTTPResponse(link)
            answer.begin()
            assert answer.status == 200 and answer.headers["x-seed"] == "7"
            answer.read()


def test_connect_is_refused(server: str) -> None:
    with connection(server) as link:
        link.sendall(b"CONNECT x:80 HTTP/1.1\r\nhost: x:80\r\n\r\n")
        assert _whole(link).startswith(b"HTTP/1.1 4")


@pytest.mark.parametrize(("target", "status"), [(b"", 200), (b"?a=1", 200), (b"/healthz", 200), (b"/nowhere", 404)])
def test_a_target_may_have_the_absolute_form(server: str, target: bytes, status: int) -> None:
    with connection(server) as link:
        link.sendall(b"GET http://x%b HTTP/1.1\r\nhost: x\r\n\r\n" % target)
        assert _status(link) == status


def test_a_client_of_http_1_0_is_not_told_to_go_on(server: str) -> None:
    with connection(server) as link:
        head = b"POST /v1/decode HTTP/1.0\r\nexpect: 100-continue\r\ncontent-type: application/json\r\n"
        link.sendall(head + b"content-length: 2\r\n\r\n{}")
        assert _whole(link).startswith(b"HTTP/1.1 422 ")


def test_an_idle_connection_is_kept_as_long_as_is_set(conv: str) -> None:
    with running("--model", conv, REPARAM_KEEP_ALIVE_S="1") as (url, _), connection(url) as link:
        began = time.monotonic()
        link.sendall(ALIVE)
        assert _status(link) == 200
        assert link.recv(1) == b""
        assert 0.9 < time.monotonic() - began < 4


@pytest.mark.parametrize("whole", [False, True])
def test_what_follows_an_early_answer_is_bounded_by_what_it_is(conv: str, whole: bool) -> None:
    bounds = {"REPARAM_KEEP_ALIVE_S": "3", "REPARAM_BODY_TIMEOUT_S": "1"}
    with running("--model", conv, **bounds) as (url, _), connection(url) as link:
        head = b"POST /v1/decode HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 9\r\n\r\n"
        began = time.monotonic()
        link.sendall(head + b"half")
        assert _status(link) == 415
        if whole:
            link.sendall(b" more")  # from here on the connection is idle
        assert link.recv(1) == b""
        assert (2.9 < time.monotonic() - began < 8) if whole else (0.9 < time.monotonic() - began < 2.5)


def test_whole_requests_are_answered_also_where_no_http_follows(conv: str) -> None:
    with running("--model", conv) as (url, _):  # which looks for a traceback at its end
        for first in (b"GET /v1/sample?count=500 HTTP/1.1\r\nhost: x\r\n\r\n", b""):
            with connection(url) as link:
                link.sendall(first + ALIVE + b"BREW\r\n\r\n" + ALIVE)
                answers = _whole(link).split(b"HTTP/1.1 ")[1:]
            assert [answer[:3] for answer in answers] == [b"200"] * (2 if first else 1)
            assert b"connection: close" in answers[-1]


def test_a_body_and_the_beginning_of_a_head_may_come_together(server: str) -> None:
    body = b" " * (MAX_HEAD_BYTES + 1000) + b"{}"
    with connection(server) as link:
        head = b"POST /v1/decode HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        link.sendall(head % len(body) + body + ALIVE[:10])
        assert _status(link) == 422
        link.sendall(ALIVE[10:])
        assert _status(link) == 200


@pytest.mark.parametrize("line", [b"BREW /v1/sample HTTP/1.1\r\n\r\n", b"\x16\x03\x01\r\n\r\n", b"GET\r\n\r\n"])
def test_what_is_no_http_is_a_problem(server: str, line: bytes) -> None:
    with connection(server) as link:
        link.sendall(line)
        status, problem = _answer(link)
    assert status == 400 and problem["type"] == "urn:reparam:problem:malformed-request" and problem["request_id"]


def test_a_refusal_has_a_date(server: str) -> None:
    with connection(server) as link:
        link.sendall(b"BREW /v1/sample HTTP/1.1\r\n\r\n")
        assert b"\r\ndate: " in _whole(link)


def test_over_the_bounds_calls_are_refused_at_once_and_the_others_answered(server: str) -> None:
    with httpx.Client(base_url=server, limits=httpx.Limits(max_connections=40)) as client:
        link = "/v1/sample?model=tiny-conv&count=100&seed=1"
        with ThreadPoolExecutor(40) as threads:
            answers = list(threads.map(lambda _: client.get(link), range(80)))
        assert {answer.status_code for answer in answers} == {200, 503}
        for answer in answers:
            if answer.status_code == 503:
                detail = assert_problem(answer, 503, "overloaded")["detail"]
                assert answer.headers["retry-after"] == "1" and "set by REPARAM_MAX_" in detail
        assert len({answer.content for answer in answers if answer.status_code == 200}) == 1
        assert client.get(link).status_code == 200


def test_bodies_over_the_bound_together_are_refused(server: str) -> None:
    def ask() -> httpx.Response:
        return post(f"{server}/v1/encode", content=b"x" * 100_000, headers={"content-type": "image/png"})

    head = b"POST /v1/encode HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\ncontent-length: 100000\r\n\r\n"
    with connection(server) as first, connection(server) as second:
        for link in (first, second):
            link.sendall(head + b"x" * 99_999)
        while (answer := ask()).status_code == 422:  # until both have come
            pass
    assert "REPARAM_MAX_BUFFERED_BYTES" in assert_problem(answer, 503, "overloaded")["detail"]
    wait_for(lambda: ask().status_code == 422)  # what was held is let go


def test_callers_that_go_leave_no_work_behind(server: str) -> None:
    """Thirty that ask for long work and hang up: whoever comes next does not wait for them."""
    for _ in range(30):
        with connection(server) as link:
            body = json.dumps(SLOW).encode()
            head = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            link.sendall(b"POST /v1/sample?model=tiny-conv HTTP/1.1\r\nhost: x\r\n" + head.encode() + body)
    wait_for(lambda: get(f"{server}/v1/sample?model=tiny-conv").status_code == 200)
