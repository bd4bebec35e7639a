"""Who has a valid key may call; nobody else, and no answer or log shows a key."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from app.access import check_access
from app.access.keys import Keys
from app.main import create_app
from app.settings import Settings
from models.errors import InputError
from tests.app.problems import assert_problem

FIRST = "the-first-key-of-a-file"
OLD, NEW = "an-old-key-of-a-caller", "a-new-key-of-a-caller"
WRONG = "nobody-has-this-key-0123"


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    file = tmp_path_factory.mktemp("keys") / "keys"
    file.write_text(f"\ufeff{FIRST}\n# the callers'\n\n  {NEW}  \n# {WRONG}\n", encoding="utf-8")
    settings = Settings(models="mnist-mlp", api_keys=SecretStr(f"{OLD}, third-key-0123456789"), api_keys_file=file)
    app = create_app(settings)
    app.add_api_route("/metrics", _fine)
    app.add_api_route("/v2/health/live", _fine)
    app.add_api_route("/v2/health/other", _fine)
    app.add_api_route("/v2/models/mnist-mlp", _fine)
    app.add_api_route("/broken", _broken)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def _fine() -> dict[str, str]:
    return {}


def _broken() -> None:
    raise RuntimeError("broken")


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {OLD}"},
        {"Authorization": f"bearer   {NEW} "},
        {"X-API-Key": NEW},
        {"X-API-Key": FIRST},
        {"X-API-Key": "third-key-0123456789"},
        {"X-API-Key": OLD, "Authorization": f"Bearer {OLD}"},
        {"X-API-Key": OLD, "Authorization": "Basic dXNlcjpwYXNz"},  # of a proxy's own login, which it passes on
    ],
)
def test_a_valid_key_passes_in_either_header(keyed: TestClient, headers: dict[str, str]) -> None:
    answer = keyed.get("/v1/models", headers=headers)
    assert answer.status_code == 200
    assert {"Authorization", "X-API-Key"} <= set(answer.headers["vary"].split(", "))


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({}, "found none"),
        ({"X-API-Key": ""}, "not valid"),
        ({"X-API-Key": WRONG}, "not valid"),
        ({"X-API-Key": OLD[:-1]}, "not valid"),
        ({"X-API-Key": "ключ".encode()}, "not valid"),
        ({"Authorization": f"Bearer {WRONG}"}, "not valid"),
        ({"Authorization": OLD}, "expected Bearer KEY"),
        ({"Authorization": "Bearer"}, "expected Bearer KEY"),
        ({"Authorization": f"Basic {OLD}"}, "expected Bearer KEY"),
        ({"Authorization": f"Basic {OLD}", "X-API-Key": WRONG}, "not valid"),
        ({"Authorization": f"Bearer {OLD}", "X-API-Key": NEW}, "different"),
    ],
)
def test_everything_else_is_refused_and_told_what_was_expected(
    keyed: TestClient, headers: dict[str, str], words: str
) -> None:
    answer = keyed.post("/v1/sample", headers=headers)
    detail = assert_problem(answer, 401, "unauthorized")["detail"]
    assert words in detail and "Bearer KEY" in detail
    assert answer.headers["www-authenticate"] == 'Bearer realm="reparam"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    for key in (OLD, NEW, WRONG, OLD[:-1]):
        assert key not in answer.text


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/v2/health/live", "/", "/docs", "/openapi.json"])
def test_probes_and_docs_are_open(keyed: TestClient, path: str) -> None:
    assert keyed.get(path).status_code == 200
    assert keyed.head(path, headers={"X-API-Key": WRONG}).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/metrics",
        "/v1/models",
        "/v1/nothing",
        "/v2/models/mnist-mlp",
        "/v2/health/other",
        "/healthz/",
        "//healthz",
        "/healthz/../v1/models",
        "/static-offline-docs",
        "/broken",
    ],
)
def test_everything_else_needs_a_key(keyed: TestClient, path: str) -> None:
    request = keyed.build_request("GET", "/")
    request.url = request.url.copy_with(raw_path=path.encode())
    answer = keyed.send(request)
    if path.startswith("/v2"):
        assert answer.status_code == 401 and answer.json()["error"].startswith("expected a key")
    else:
        assert_problem(answer, 401, "unauthorized")


def test_the_files_of_the_docs_are_open_and_nothing_beside_them(keyed: TestClient) -> None:
    assert keyed.get("/static-offline-docs/swagger-ui.css").status_code == 200
    assert keyed.get("/static-offline-docs/%2e%2e/core.py").status_code == 404


def test_docs_can_be_closed_and_metrics_opened() -> None:
    settings = Settings(models="mnist-mlp", api_keys=SecretStr(OLD), open_docs=False, open_metrics=True)
    app = create_app(settings)
    app.add_api_route("/metrics", _fine)
    with TestClient(app) as client:
        for path in ("/", "/web/main.js", "/docs", "/openapi.json", "/static-offline-docs/swagger-ui.css"):
            assert client.get(path).status_code == 401
        assert client.get("/metrics").status_code == 200


def test_an_unexpected_error_has_every_header(keyed: TestClient) -> None:
    answer = keyed.get("/broken", headers={"X-API-Key": NEW})
    assert_problem(answer, 500, "internal-server-error")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_the_schema_declares_both_ways_and_that_probes_need_none(keyed: TestClient) -> None:
    schema = keyed.get("/openapi.json").json()
    schemes = schema["components"]["securitySchemes"]
    assert schemes["bearer"].items() >= {"type": "http", "scheme": "bearer"}.items()
    assert schemes["apiKey"].items() >= {"type": "apiKey", "in": "header", "name": "X-API-Key"}.items()
    assert schema["security"] == [{"bearer": []}, {"apiKey": []}]
    assert schema["paths"]["/healthz"]["get"]["security"] == []
    assert "security" not in schema["paths"]["/v1/encode"]["post"]


@pytest.mark.parametrize("open_metrics", [False, True])
def test_the_schema_says_whether_metrics_need_one(open_metrics: bool) -> None:
    settings = Settings(models="mnist-mlp", api_keys=SecretStr(OLD), open_metrics=open_metrics)
    with TestClient(create_app(settings)) as client:
        described = client.get("/openapi.json").json()["paths"]["/metrics"]["get"]
        assert client.get("/metrics").status_code == (200 if open_metrics else 401)
    assert ("security" in described) == open_metrics and not described.get("security")


def test_without_keys_nobody_is_asked(client: TestClient) -> None:
    assert client.get("/v1/models", headers={"Authorization": "Basic whatever"}).status_code == 200
    assert "securitySchemes" not in client.get("/openapi.json").json()["components"]


def test_no_key_is_kept_or_shown() -> None:
    settings = Settings(api_keys=SecretStr(OLD))
    keys = Keys.load(settings)
    assert keys is not None
    assert OLD not in repr(settings) + str(settings.model_dump()) + repr(vars(keys))
    assert keys.identify(OLD.encode()) == "d626a9a1"  # printf %s an-old-key-of-a-caller | sha256sum
    assert keys.identify(NEW.encode()) is None


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("", "found none"),
        (" , ", "found none"),
        ("long-enough-0123456789,short", "found 5 characters in key 2"),
        ("a key with spaces in it", "a space"),
        ("ключ-ключ-ключ-ключ", "not ASCII"),
    ],
)
def test_keys_that_are_none_or_weak_stop_the_start(tmp_path: Path, keys: str, words: str) -> None:
    for settings in (_settings(keys), _settings(None, _file(tmp_path, keys.replace(",", "\n")))):
        with pytest.raises(InputError, match=words) as error:
            check_access(settings)
        assert not keys.strip() or keys not in str(error.value)


def _settings(keys: str | None, file: Path | None = None) -> Settings:
    return Settings(api_keys=None if keys is None else SecretStr(keys), api_keys_file=file)


def _file(folder: Path, text: str) -> Path:
    (folder / "keys").write_text(text)
    return folder / "keys"


def test_a_file_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    for file, words in (("nowhere", "No such file"), (".", "Is a directory"), ("bytes", "not UTF-8")):
        with pytest.raises(InputError, match=words) as error:
            check_access(_settings(None, tmp_path / file))
        assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.org"])
def test_an_address_that_others_reach_is_warned_of_without_keys(host: str, caplog: pytest.LogCaptureFixture) -> None:
    check_access(Settings(host=host))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    caplog.clear()
    create_app(Settings(host=host))  # what each worker does
    check_access(Settings(host=host, api_keys=SecretStr(OLD)))
    assert not caplog.records


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_loopback_is_not_warned_of(host: str, caplog: pytest.LogCaptureFixture) -> None:
    check_access(Settings(host=host))
    assert not caplog.records


def test_the_rate_limits_library_is_loaded_only_when_there_is_a_limit() -> None:
    code = "import sys, app.main; app.main.create_app(); sys.exit('limits' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
