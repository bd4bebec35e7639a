"""`GET /` and the files of the page: what they are, how they are kept, and under which policy."""

import re
from pathlib import Path

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from app.main import create_app
from app.routes import playground
from app.settings import Settings
from tests.app.problems import assert_problem

WEB = Path(playground.__file__).parent.parent / "web"
KEY = "the-key-of-a-caller"


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/web/style.css", "text/css; charset=utf-8"),
        ("/web/main.js", "text/javascript; charset=utf-8"),
        ("/web/views/draw.js", "text/javascript; charset=utf-8"),
        ("/web/icon.svg", "image/svg+xml"),
        ("/web/seven.png", "image/png"),
        ("/web/digits.npy.gz", "application/gzip"),
    ],
)
def test_a_file_is_sent_as_what_it_is(client: TestClient, path: str, media_type: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200 and answer.headers["content-type"] == media_type
    assert answer.content == (WEB / (path.removeprefix("/web/").strip("/") or "index.html")).read_bytes()
    head = client.head(path)
    assert head.status_code == 200 and head.headers["etag"] == answer.headers["etag"]
    assert head.headers["content-length"] == str(len(answer.content))


def test_every_file_of_the_folder_has_a_known_type() -> None:
    on_disk = {str(path.relative_to(WEB)) for path in WEB.rglob("*") if path.is_file()}
    assert on_disk == set(playground.web_files())


def test_an_unchanged_file_is_not_sent_again(client: TestClient) -> None:
    first = client.get("/web/main.js")
    assert first.headers["cache-control"] == "no-cache"
    etag = first.headers["etag"]
    for known in (etag, f"W/{etag}", f'"another", {etag}', "*"):
        again = client.get("/web/main.js", headers={"if-none-match": known})
        assert again.status_code == 304 and not again.content
        assert again.headers["etag"] == etag and again.headers["cache-control"] == "no-cache"
    assert client.get("/web/main.js", headers={"if-none-match": '"another"'}).status_code == 200
    assert client.get("/web/style.css").headers["etag"] != etag


@pytest.mark.parametrize("path", ["/", "/web/main.js"])
def test_its_policy_allows_files_of_this_service_alone(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert len(answer.headers.get_list("content-security-policy")) == 1
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'" and policy["frame-ancestors"] == "'none'"
    for directive in ("script-src", "style-src", "connect-src"):
        assert policy[directive] == "'self'"
    assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["x-frame-options"] == "DENY"


def test_nothing_in_the_page_needs_more_than_its_policy() -> None:
    page = (WEB / "index.html").read_text()
    assert not re.findall(r"<script(?![^>]*\ssrc=)", page) and "<style" not in page
    assert not re.findall(r"\s(style|on\w+)=", page)
    for path in WEB.rglob("*.js"):
        assert not re.findall(r"https?://(?!www\.w3\.org)|\beval\(|innerHTML", path.read_text()), path


def test_what_the_page_names_is_there(client: TestClient) -> None:
    named = re.findall(r'(?:src|href)="(web/[^"]+)"', (WEB / "index.html").read_text())
    assert len(named) > 5
    for path in named:
        assert client.get(f"/{path}").status_code == 200
    for module in WEB.rglob("*.js"):
        for imported in re.findall(r'(?:from|import)\s*\(?"(\.[^"]+)"', module.read_text()):
            assert (module.parent / imported).is_file(), (module, imported)


@pytest.mark.parametrize(
    "path",
    [
        "/web/",
        "/web/nothing.js",
        "/web/views",
        "/web/../main.py",
        "/web/%2e%2e/main.py",
        "/web/..%2fmain.py",
        "/web//etc/passwd",
        "/web/%2fetc/passwd",
        "/web/views/../../main.py",
        "/web/main.js%00",
    ],
)
def test_no_other_file_can_be_reached(client: TestClient, path: str) -> None:
    request = client.build_request("GET", "/")
    request.url = request.url.copy_with(raw_path=path.encode())
    assert_problem(client.send(request), 404, "not-found")


def test_it_is_no_part_of_the_schema_and_only_read(client: TestClient) -> None:
    assert not {"/", "/web/{path}"} & client.get("/openapi.json").json()["paths"].keys()
    assert_problem(client.post("/"), 405, "method-not-allowed")


def test_the_page_needs_no_key_and_is_not_counted_by_the_file() -> None:
    settings = Settings(models="mnist-mlp", api_keys=SecretStr(KEY), rate_limit="3/hour")
    with TestClient(create_app(settings)) as client:
        for path in ["/", *(f"/web/{path}" for path in playground.web_files())]:
            assert client.get(path).status_code == 200
        assert client.get("/v1/models").status_code == 401
        assert client.get("/v1/models", headers={"X-API-Key": KEY}).status_code == 200
