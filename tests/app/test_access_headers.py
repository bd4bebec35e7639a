"""What browsers are told: security headers on every answer, policies under which the pages work, and CORS."""

import re
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256

import pytest
from pydantic import SecretStr, ValidationError
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from tests.app.problems import assert_problem

KEY = "the-key-of-a-caller"
PAGE = "https://example.org"
ALWAYS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
}


@pytest.fixture(scope="module")
def open_to_pages() -> Iterator[TestClient]:
    settings = Settings(models="mnist-mlp", cors_origins=f"{PAGE},http://localhost:3000", api_keys=SecretStr(KEY))
    app = create_app(settings)
    app.add_api_route("/broken", _broken)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def _broken() -> None:
    raise RuntimeError("broken")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/healthz", 200),
        ("GET", "/v1/sample", 200),
        ("HEAD", "/v1/models", 200),
        ("GET", "/nothing", 404),
        ("DELETE", "/v1/models", 405),
        ("POST", "/v1/encode", 415),
        ("GET", "/v1/sample?count=x", 422),
        ("GET", "/static-offline-docs/swagger-ui.css", 200),
    ],
)
def test_every_answer_has_the_headers(client: TestClient, method: str, path: str, status: int) -> None:
    answer = client.request(method, path, follow_redirects=False)
    assert answer.status_code == status
    assert answer.headers.items() >= ALWAYS.items()
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert "script-src" not in answer.headers["content-security-policy"]
    assert "x-request-id" in answer.headers
    assert "access-control-allow-origin" not in answer.headers


def test_a_page_may_run_its_own_scripts_and_no_others(client: TestClient) -> None:
    answer = client.get("/docs")
    assert answer.headers.items() >= ALWAYS.items()
    assert int(answer.headers["content-length"]) == len(answer.content)
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert "unsafe-inline" not in policy["script-src"] and "unsafe-eval" not in str(policy)
    inline = [script for script in re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL) if script]
    assert len(inline) == 1
    for script in inline:
        assert f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" in policy["script-src"]
    assert policy["frame-ancestors"] == "'none'"
    assert not re.findall(r"\son\w+=", answer.text)  # handlers in attributes would be refused
    assert client.head("/docs").headers["content-security-policy"] == answer.headers["content-security-policy"]


def test_an_unchanged_file_keeps_the_policy_it_came_with(client: TestClient) -> None:
    path = "/static-offline-docs/swagger-ui.css"
    again = client.get(path, headers={"if-none-match": client.get(path).headers["etag"]})
    assert again.status_code == 304
    assert again.headers.items() >= ALWAYS.items() and "content-security-policy" not in again.headers


def test_a_preflight_needs_no_key(open_to_pages: TestClient) -> None:
    asked = {"origin": PAGE, "access-control-request-method": "POST"}
    asked["access-control-request-headers"] = "authorization,content-type,x-api-key"
    answer = open_to_pages.options("/v1/encode", headers=asked)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "X-API-Key" in answer.headers["access-control-allow-headers"]
    assert "x-request-id" in answer.headers and answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "header",
    [
        "X-Request-ID",
        "X-Request-Timeout-Ms",
        "Content-Encoding",
        "Inference-Header-Content-Length",
        "traceparent",
        "tracestate",
        "If-None-Match",
    ],
)
def test_a_page_may_send_every_header_that_is_documented(open_to_pages: TestClient, header: str) -> None:
    asked = {"origin": PAGE, "access-control-request-method": "POST", "access-control-request-headers": header.lower()}
    answer = open_to_pages.options("/v1/encode", headers=asked)
    assert answer.status_code == 200
    assert header in answer.headers["access-control-allow-headers"].split(", ")


@pytest.mark.parametrize(
    ("origin", "method", "words"), [("https://evil.example", "POST", "origin"), (PAGE, "DELETE", "method")]
)
def test_a_preflight_that_is_refused_is_a_problem(
    open_to_pages: TestClient, origin: str, method: str, words: str
) -> None:
    answer = open_to_pages.options("/v1/encode", headers={"origin": origin, "access-control-request-method": method})
    assert words in assert_problem(answer, 400, "cors")["detail"]
    assert answer.headers.get("access-control-allow-origin") != "https://evil.example"


@pytest.mark.parametrize(("path", "status"), [("/v1/sample", 200), ("/v1/nothing", 404), ("/broken", 500)])
def test_a_page_of_a_configured_origin_may_read_answers(open_to_pages: TestClient, path: str, status: int) -> None:
    answer = open_to_pages.get(path, headers={"origin": PAGE, "x-api-key": KEY})
    assert answer.status_code == status
    assert answer.headers["access-control-allow-origin"] == PAGE
    exposed = answer.headers["access-control-expose-headers"].split(", ")
    assert {"X-Request-ID", "X-Seed", "Server-Timing", "Retry-After", "RateLimit", "RateLimit-Policy"} <= set(exposed)
    assert {"Accept", "Accept-Encoding"} <= set(exposed)  # what an answer of 415 says would be taken
    assert "ETag" in exposed  # which If-None-Match says again
    assert "Inference-Header-Content-Length" in exposed  # where the numbers of /v2 begin
    assert "Origin" in answer.headers["vary"]
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"


def test_a_refusal_can_be_read_by_the_page_too(open_to_pages: TestClient) -> None:
    answer = open_to_pages.get("/v1/sample", headers={"origin": PAGE})
    assert_problem(answer, 401, "unauthorized")
    assert answer.headers["access-control-allow-origin"] == PAGE


def test_another_origin_may_not_read(open_to_pages: TestClient) -> None:
    answer = open_to_pages.get("/v1/sample", headers={"origin": "https://evil.example", "x-api-key": KEY})
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    [
        "example.org",
        "https://example.org/",
        "https://example.org/app",
        "https://example.org?a",
        "ftp://a",
        "null",
        "https://*.example.org",
        "https://example.org:*",
        "*.example.org",
        "https://münchen.example",
        "https://example.org:",
        "https://example.org:https",
        "https://[fe80::1%eth0]",
    ],
)
def test_what_no_browser_sends_as_an_origin_is_refused(origin: str) -> None:
    with pytest.raises(ValidationError, match=rf"expected an origin such as .*, found '{re.escape(origin)}'"):
        Settings(cors_origins=origin)


@pytest.mark.parametrize(
    ("origin", "sent"),
    [
        ("HTTPS://Example.org", "https://example.org"),
        ("https://a.org:443", "https://a.org"),
        ("http://a.org:80", "http://a.org"),
        ("http://a.org:443", "http://a.org:443"),
        ("https://a.org:80", "https://a.org:80"),
        ("https://[::1]:443", "https://[::1]"),
        ("http://[::80]", "http://[::80]"),
        ("https://xn--mnchen-3ya.example:8443", "https://xn--mnchen-3ya.example:8443"),
        ("*", "*"),
    ],
)
def test_an_origin_is_the_one_that_browsers_send(origin: str, sent: str) -> None:
    assert Settings(cors_origins=origin).cors_origins == (sent,)  # type: ignore[arg-type]
