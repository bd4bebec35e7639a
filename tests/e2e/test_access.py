"""Keys and limits as an operator sets them, on a real server."""

import os
import socket
import subprocess
from pathlib import Path

import pytest

from tests.app.redis_server import RedisServer
from tests.e2e.server import REPARAM, get, running
from tests.needs import need

pytestmark = pytest.mark.e2e

KEY = "the-key-of-a-caller"


def test_workers_ask_for_the_keys_of_a_file_and_believe_no_forwarded_address(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"# callers\n{KEY}\n")
    settings = {"REPARAM_API_KEYS_FILE": str(tmp_path / "keys"), "REPARAM_RATE_LIMIT": "3/hour"}
    with running("--workers", "2", "--model", "mnist-mlp", **settings) as (url, _):
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=60) as connection:
            connection.sendall(b"nonsense\r\n\r\n")
            head = connection.recv(65536)
        assert head.startswith(b"HTTP/1.1 400") and b"x-content-type-options: nosniff\r\n" in head
        for _ in range(4):
            assert get(f"{url}/readyz").status_code == 200
        assert get(f"{url}/v1/models", headers={"x-api-key": KEY}).status_code == 200
        # Two workers count for themselves: of seven one is too many for whichever gets it.
        forwarded = [{"x-forwarded-for": f"192.0.2.{i}"} for i in range(7)]
        statuses = [get(f"{url}/v1/models", headers=headers).status_code for headers in forwarded]
        assert statuses[:3] == [401] * 3 and 429 in statuses


def test_a_stop_leaves_redis_before_it_is_over(tmp_path: Path) -> None:
    need("redis-server", "the rate limit that replicas share")
    redis = RedisServer(tmp_path)
    settings = {"REPARAM_RATE_LIMIT": "9/hour", "REPARAM_RATE_LIMIT_STORAGE": redis.url}
    log = tmp_path / "log"
    try:
        with running("--model", "mnist-mlp", log=log, **settings) as (url, _):
            assert "ratelimit" in get(f"{url}/v1/models").headers
    finally:
        redis.kill()
    assert not [line for line in log.read_text().splitlines() if "lifespan" in line or " ERROR " in line]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("REPARAM_API_KEYS_FILE", "/nowhere/keys", "/nowhere/keys: expected a file with one key per line"),
        ("REPARAM_API_KEYS", "guess-me", "16 characters or more"),
        ("REPARAM_RATE_LIMIT", "often", "100/second"),
        ("REPARAM_TRUSTED_PROXIES", "10.0.0.1/8", "10.0.0.1/8"),
        ("REPARAM_CORS_ORIGINS", "example.org/", "example.org/"),
    ],
)
def test_a_bad_setting_stops_the_start_in_one_line_without_the_key(name: str, value: str, words: str) -> None:
    environment = os.environ | {name: value, "REPARAM_WORKERS": "2"}
    end = subprocess.run([REPARAM, "serve"], env=environment, capture_output=True, text=True, timeout=60)
    assert end.returncode == 1
    assert end.stderr.startswith("error: ") and end.stderr.count("\n") == 1 and words in end.stderr
    assert "guess-me" not in end.stderr
