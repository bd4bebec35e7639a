"""What is noted of every request."""

import json
import logging
import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from app.logs import JsonLines
from app.main import create_app
from app.settings import Settings
from app.traces import parent_trace
from tests.app.lines import Lines
from tests.app.problems import assert_problem

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def test_an_id_that_is_sane_is_kept(client: TestClient) -> None:
    answer = client.get("/v1/models/nobody", headers={"x-request-id": "my-id/7:a=b"})
    assert assert_problem(answer, 404, "model-not-found")["request_id"] == "my-id/7:a=b"


@pytest.mark.parametrize("bad", ["", "a b", 'a"b', "a'b", "a\tb", "a\\b", "a,b", "<a>", "x" * 129, "\x7f"])
def test_an_id_that_is_not_is_replaced(client: TestClient, bad: str) -> None:
    given_id = client.get("/healthz", headers={"x-request-id": bad}).headers["x-request-id"]
    assert len(given_id) == 16 and set(given_id) <= set(string.hexdigits)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(st.binary(max_size=200))
def test_whatever_is_sent_the_id_is_visible_ascii(client: TestClient, sent: bytes) -> None:
    sent = bytes(c for c in sent if c not in b"\r\n\0")
    answer = client.get("/healthz", headers=[(b"x-request-id", sent), (b"traceparent", sent)])
    assert 1 <= len(answer.headers["x-request-id"]) <= 128
    assert all("!" <= c <= "~" and c not in "\"'\\,;" for c in answer.headers["x-request-id"])


@pytest.mark.parametrize(
    ("header", "trace"),
    [
        (PARENT, TRACE),
        (PARENT.replace("00-", "cc-", 1) + "-what-the-future-has", TRACE),
        (PARENT + "-more", None),
        (PARENT.replace("00-", "ff-", 1), None),
        (PARENT.upper(), None),
        (PARENT.replace(TRACE, "0" * 32), None),
        (PARENT.replace("00f067aa0ba902b7", "0" * 16), None),
        ("", None),
    ],
)
def test_the_trace_is_the_callers_if_it_is_valid(header: str, trace: str | None) -> None:
    assert parent_trace(header.encode()) == trace


def test_a_request_is_one_line(client: TestClient, lines: Lines) -> None:
    answer = client.get(
        "/v1/sample?model=mnist-mlp&seed=987654", headers={"x-request-id": "r-1", "traceparent": PARENT}
    )
    (line,) = lines.json
    assert line["logger"] == "app.requests" and line["level"] == "info"
    assert (line["method"], line["path"], line["status"]) == ("GET", "/v1/sample", 200)
    assert (line["model"], line["request_id"], line["trace_id"]) == ("mnist-mlp", "r-1", TRACE)
    assert line["bytes"] == len(answer.content) and line["client"] == "testclient"
    assert isinstance(line["duration_ms"], float) and line["duration_ms"] > 0
    (text,) = lines.text
    assert " method=GET path=/v1/sample status=200 duration_ms=" in text and f" trace_id={TRACE}" in text
    assert "987654" not in text + json.dumps(line)


def test_head_and_what_is_not_there_are_lines_too(client: TestClient, lines: Lines) -> None:
    client.head("/healthz")
    client.get("/no%0Athing%22")
    head, missing = lines.json
    assert (head["method"], head["path"]) == ("HEAD", "/healthz")
    assert (missing["status"], missing["problem"]) == (404, "not-found")
    assert "\n" not in lines.text[1]


def test_of_head_no_body_is_counted_and_of_a_long_path_its_beginning(client: TestClient, lines: Lines) -> None:
    client.head("/v1/models")
    client.get("/" + "x" * 5000)
    head, long = (line for line in lines.json if line["message"] == "request")
    assert head["bytes"] == 0
    assert long["path"] == "/" + "x" * 1023 + "..."


def test_requests_are_lines_of_the_level_info(client: TestClient, lines: Lines) -> None:
    logging.getLogger("app").setLevel(logging.WARNING)
    client.get("/v1/models")
    assert not lines.json


def test_an_unexpected_error_is_one_line_with_its_traceback_and_one_of_the_request(lines: Lines) -> None:
    app = create_app(Settings(models="mnist-mlp"))

    def broken() -> None:
        raise RuntimeError("the secret of\nthe inside")

    app.add_api_route("/broken", broken)
    with TestClient(app) as client:
        answer = client.get("/broken", headers={"x-request-id": "r-2"})
    problem = assert_problem(answer, 500, "internal-server-error")
    assert problem["request_id"] == "r-2" and "987654" not in problem["detail"]
    error, request = lines.json
    assert (error["level"], error["request_id"]) == ("error", "r-2")
    assert error["error"] == "RuntimeError: the secret of\nthe inside" and "in broken" in str(error["traceback"])
    assert (request["status"], request["problem"], request["request_id"]) == (500, "internal-server-error", "r-2")


def test_the_lines_of_requests_can_be_turned_off(lines: Lines) -> None:
    with TestClient(create_app(Settings(models="mnist-mlp", access_log=False))) as client:
        client.get("/healthz")
    assert lines.json == []


def test_what_json_cannot_hold_is_logged_all_the_same() -> None:
    record = logging.makeLogRecord({"msg": "\ud800", "fields": {"large": 2**80, "thing": object}})
    assert json.loads(JsonLines().format(record))["large"] == 2**80
