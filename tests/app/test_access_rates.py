"""A caller over its limit is refused and told when to come back; a storage that fails does not stop the service."""

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from app.access import check_access
from app.access.addresses import unmapped
from app.access.rates import CONNECTIONS, RateLimiter
from app.errors import RateLimitedError, UncountedError
from app.main import create_app
from app.settings import Settings
from models.errors import InputError
from tests.app.problems import assert_problem
from tests.app.redis_server import RedisServer
from tests.needs import need

ONE, OTHER = "the-key-of-one-caller", "the-key-of-another-caller"


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    need("redis-server", "the rate limit that replicas share")
    server = RedisServer(tmp_path)
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def limited(rate: str, peer: str = "192.0.2.1", **settings: Any) -> Iterator[TestClient]:
    app = create_app(Settings(models="mnist-mlp", rate_limit=rate, **settings))
    with TestClient(app, client=(peer, 5000)) as client:
        yield client


def _statuses(client: TestClient, count: int, **headers: str) -> list[int]:
    return [client.get("/v1/models", headers=headers).status_code for _ in range(count)]


def test_what_is_over_the_limit_is_refused_and_told_when_to_come_back() -> None:
    with limited("3/hour") as client:
        for remaining in (2, 1, 0):
            answer = client.get("/v1/models")
            assert answer.status_code == 200
            assert answer.headers["ratelimit-policy"] == '"3600s";q=3;w=3600'
            match = re.fullmatch(r'"3600s";r=(\d+);t=(\d+)', answer.headers["ratelimit"])
            assert match and int(match[1]) == remaining and 1 <= int(match[2]) <= 3600
        answer = client.get("/v1/models")
        assert "at most 3 requests in 3600 s" in assert_problem(answer, 429, "rate-limited")["detail"]
        assert 1 <= int(answer.headers["retry-after"]) <= 3600
        assert answer.headers["ratelimit"] == f'"3600s";r=0;t={answer.headers["retry-after"]}'
        assert answer.headers["ratelimit-policy"] == '"3600s";q=3;w=3600'
        assert answer.headers["x-content-type-options"] == "nosniff"
        for path in ("/healthz", "/readyz", "/v2/health/live", "/v2/health/ready", "/metrics"):
            answer = client.get(path)
            assert answer.status_code == 200 and "ratelimit" not in answer.headers


def test_errors_count_and_say_where_the_caller_stands() -> None:
    with limited("2/hour") as client:
        answer = client.get("/nothing")
        assert (answer.status_code, answer.headers["ratelimit"][:12]) == (404, '"3600s";r=1;')
        assert _statuses(client, 2) == [200, 429]


def test_a_window_ends() -> None:
    with limited("2/second") as client:
        _wait(lambda: 429 in _statuses(client, 4))  # four within a second
        _wait(lambda: client.get("/v1/models").status_code == 200)


def test_several_limits_hold_together() -> None:
    with limited("1000/day; 2/hour") as client:
        answer = client.get("/v1/models")
        assert answer.headers["ratelimit-policy"] == '"3600s";q=2;w=3600, "86400s";q=1000;w=86400'
        assert re.fullmatch(r'"3600s";r=1;t=\d+, "86400s";r=999;t=\d+', answer.headers["ratelimit"])
        assert _statuses(client, 3)[1:] == [429, 429]


def test_each_key_has_a_limit_of_its_own() -> None:
    with limited("2/hour", api_keys=SecretStr(f"{ONE},{OTHER}")) as client:
        assert _statuses(client, 3, authorization=f"Bearer {ONE}") == [200, 200, 429]
        assert _statuses(client, 3, **{"x-api-key": OTHER}) == [200, 200, 429]


def test_guessing_keys_is_limited_by_address_and_valid_keys_are_not_touched() -> None:
    with limited("2/hour", api_keys=SecretStr(ONE)) as client:
        answer = client.get("/v1/models", headers={"x-api-key": "a-guess-0"})
        assert_problem(answer, 401, "unauthorized")
        assert answer.headers["ratelimit"].startswith('"3600s";r=1;')
        assert _statuses(client, 3, **{"x-api-key": "a-guess"}) == [401, 429, 429]
        assert _statuses(client, 2, **{"x-api-key": ONE}) == [200, 200]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("2001:db8::ffff:192.0.2.1", "2001:db8::1", True),
    ],
)
def test_who_counts_as_one_caller(one: str, other: str, same: bool) -> None:
    with limited("2/hour", trusted_proxies="10.0.0.0/8", peer="10.0.0.9") as client:
        assert _statuses(client, 3, **{"x-forwarded-for": one}) == [200, 200, 429]
        assert _statuses(client, 1, **{"x-forwarded-for": other}) == [429 if same else 200]


def test_a_socket_of_ipv6_names_callers_of_ipv4_as_what_they_are() -> None:
    named = {"::ffff:192.0.2.1": "192.0.2.1", "192.0.2.1": "192.0.2.1", "::1": "::1", "::ffff:1": "::ffff:1"}
    assert {host: unmapped(host) for host in named} == named


def test_forwarded_addresses_are_not_believed_unless_a_proxy_is_trusted() -> None:
    for peer, trusted in (("127.0.0.1", ""), ("192.0.2.1", "127.0.0.1"), ("10.0.0.9", "10.0.0.1,192.168.0.0/16")):
        with limited("2/hour", peer=peer, trusted_proxies=trusted) as client:
            statuses = [_statuses(client, 1, **{"x-forwarded-for": f"192.0.2.{i}"})[0] for i in range(3)]
            assert statuses == [200, 200, 429]


def test_what_a_caller_writes_before_the_proxy_is_not_believed() -> None:
    with limited("2/hour", peer="10.0.0.9", trusted_proxies="10.0.0.0/8") as client:
        forwarded = [f"198.51.100.{i}, 192.0.2.1, 10.0.0.7" for i in range(3)]
        assert [_statuses(client, 1, **{"x-forwarded-for": f})[0] for f in forwarded] == [200, 200, 429]


@pytest.mark.parametrize(
    "proxy", ["10.0.0.7", "::ffff:10.0.0.7", "::FFFF:10.0.0.7", "::ffff:a00:7", "0:0:0:0:0:ffff:10.0.0.7"]
)
def test_a_proxy_is_trusted_however_the_next_one_names_it(proxy: str) -> None:
    with limited("1/hour", peer="10.0.0.9", trusted_proxies="10.0.0.0/8") as client:
        for i in range(3):
            assert _statuses(client, 2, **{"x-forwarded-for": f"192.0.2.{i}, {proxy}"}) == [200, 429]


def test_memory_forgets_callers_that_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    from app.access import rates

    monkeypatch.setattr(rates, "SWEEP_S", 0)
    storage = rates.SweptMemory()

    async def count() -> None:
        for caller in range(100):
            await storage.acquire_sliding_window_entry(f"old-{caller}", 10, 1)
        assert len(storage.storage) == len(storage.expirations) == 100
        await asyncio.sleep(2.1)
        await storage.acquire_sliding_window_entry("new", 10, 1)

    asyncio.run(count())
    assert len(storage.storage) == len(storage.expirations) == 1 and not storage.locks


def test_two_instances_share_a_limit_in_redis(redis: RedisServer) -> None:
    shared = {"rate_limit_storage": SecretStr(redis.url), "api_keys": SecretStr(f"{ONE},{OTHER}")}
    with limited("4/hour", **shared) as a, limited("4/hour", **shared) as b:
        headers = {"x-api-key": ONE}
        assert [client.get("/v1/models", headers=headers).status_code for client in (a, b, a, b)] == [200] * 4
        answer = b.get("/v1/models", headers=headers)
        assert_problem(answer, 429, "rate-limited")
        assert 1 <= int(answer.headers["retry-after"]) <= 3600
        assert _statuses(a, 1, **headers) == [429]
        assert _statuses(b, 1, **{"x-api-key": OTHER}) == [200]
    keys = redis.ask("DBSIZE")
    assert keys == b":2"  # a counter a key, and nothing of the keys themselves


def test_the_storage_can_be_asked_and_keeps_nothing_of_it(redis: RedisServer) -> None:
    settings = Settings(
        rate_limit_storage=SecretStr(redis.url), rate_limit_timeout_ms=200, rate_limit_on_failure="closed"
    )

    def check() -> str | None:
        return asyncio.run(RateLimiter.load("4/hour", settings).check())

    assert check() is None and redis.ask("DBSIZE") == b":0"
    redis.ask("CONFIG SET maxmemory 1")
    assert "maxmemory" in (check() or ""), "it answers, but does not count"
    redis.ask("CONFIG SET maxmemory 0")
    redis.hang()
    assert re.fullmatch(
        r"rate limits: the storage does not count \(Timeout.*\); requests are refused until it does", check()
    )
    redis.kill()
    assert "(StorageError " in check()
    assert asyncio.run(RateLimiter.load("4/hour", Settings()).check()) is None


def test_many_at_once_wait_for_a_connection_to_redis_and_all_are_counted(redis: RedisServer) -> None:
    at_once: list[int] = []

    async def main() -> list[bool]:
        limiter = RateLimiter.load(
            "10/hour", Settings(rate_limit_storage=SecretStr(redis.url), rate_limit_timeout_ms=5000)
        )
        hit, counting = limiter.window.hit, 0

        async def counted(*arguments: Any) -> bool:
            nonlocal counting
            counting += 1
            at_once.append(counting)
            await asyncio.sleep(0.05)
            counting -= 1
            return await hit(*arguments)

        limiter.window.hit = counted  # type: ignore[method-assign]

        async def passes() -> bool:
            try:
                return "RateLimit" in await limiter.count("one")
            except RateLimitedError:
                return False

        try:
            return await asyncio.gather(*(passes() for _ in range(100)))
        finally:
            await limiter.close()

    assert sum(asyncio.run(main())) == 10
    assert max(at_once) == CONNECTIONS  # who waits for one does not wait for the storage


def test_who_gets_no_turn_in_time_is_refused(redis: RedisServer) -> None:
    settings = Settings(rate_limit_storage=SecretStr(redis.url), request_timeout_s=0.1)

    async def main() -> None:
        limiter = RateLimiter.load("10/hour", settings)
        for _ in range(CONNECTIONS):
            await limiter._turns.acquire()
        with pytest.raises(UncountedError, match=r"within 0\.1 s .*REPARAM_REQUEST_TIMEOUT_S"):
            await limiter.count("one")
        limiter._turns.release()
        assert "RateLimit" in await limiter.count("one")
        await limiter.close()

    asyncio.run(main())


def test_calls_pass_while_redis_hangs_and_are_counted_when_it_is_back(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    with limited("5/hour", rate_limit_storage=SecretStr(redis.url), rate_limit_timeout_ms=1000) as client:
        assert _statuses(client, 2) == [200, 200]
        counted = _uncounted(client)
        redis.hang()
        start = time.monotonic()
        assert _statuses(client, 60) == [200] * 60
        assert time.monotonic() - start < 30  # half of what they take if each of them waits
        assert "ratelimit" not in client.get("/v1/models").headers
        assert _uncounted(client) - counted == 61
        redis.go_on()
        _wait(lambda: "ratelimit" in client.get("/v1/models").headers)
        _wait(lambda: client.get("/v1/models").status_code == 429)
        _told(caplog, "let pass")


def test_calls_are_refused_while_redis_is_dead_if_that_is_wanted(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    with limited("100/hour", rate_limit_storage=SecretStr(redis.url), rate_limit_on_failure="closed") as client:
        assert _statuses(client, 1) == [200]
        redis.kill()
        for _ in range(5):
            answer = client.get("/v1/models")
            assert_problem(answer, 503, "rate-limits-unavailable")
            assert answer.headers["retry-after"] == "1"
        assert [client.get(path).status_code for path in ("/healthz", "/metrics")] == [200, 200]
        redis.start()
        _wait(lambda: client.get("/v1/models").status_code == 200)
        _told(caplog, "refused")


def _uncounted(client: TestClient) -> float:
    (number,) = re.findall(r"^reparam_uncounted_total (.+)$", client.get("/metrics").text, re.MULTILINE)
    return float(number)


def _wait(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _told(caplog: pytest.LogCaptureFixture, words: str) -> None:
    """Once that the storage is gone, and what happens then; once that it is back."""
    told = [record.getMessage() for record in caplog.records if record.name == "app.access.rates"]
    assert len(told) == 2, told
    assert "does not count" in told[0] and words in told[0] and "answers again" in told[1]


def test_a_connection_that_redis_closed_says_nothing_of_redis(redis: RedisServer) -> None:
    with limited("100/hour", rate_limit_storage=SecretStr(redis.url), rate_limit_on_failure="closed") as client:
        assert _statuses(client, 2) == [200, 200]
        redis.ask("CLIENT KILL TYPE normal")
        answer = client.get("/v1/models")
        assert answer.status_code == 200 and "r=97;" in answer.headers["ratelimit"]


def test_a_storage_that_was_never_there_lets_calls_pass() -> None:
    with limited("1/hour", rate_limit_storage=SecretStr("redis://127.0.0.1:1/0")) as client:
        assert _statuses(client, 3) == [200] * 3


@pytest.mark.parametrize("rate", ["", "often", "0/second", "10/fortnight", "-1/second", "10"])
def test_what_is_not_a_limit_stops_the_start(rate: str) -> None:
    with pytest.raises(InputError, match="REPARAM_RATE_LIMIT: expected limits such as 100/second"):
        check_access(Settings(rate_limit=rate))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mongodb://:secret@host",
        "redis://:secret@host:port",
        "redis://:secret@host:1?db=x",
        "host:6379",
        "//:secret@host:6379/0",
        "my_user:secret@host:6379/0",
        "redis://:secret/more@host:6379/0",
        "redis://:more@secret/more@host:6379/0",
        "redis://user:12?secret@host:6379/0",
        "redis://user:12#secret@host:6379/0",
        "redis://:secret@host:6379/none",
        "redis://:secret@host:6379/0?unknown=1",
        "rediss://:secret@host:6379/0?ssl_cert_reqs=perhaps",
    ],
)
def test_what_is_not_a_storage_stops_the_start_and_its_password_is_not_told(url: str) -> None:
    settings = Settings(rate_limit="1/second", rate_limit_storage=SecretStr(url))
    with pytest.raises(InputError, match="REPARAM_RATE_LIMIT_STORAGE") as error:
        check_access(settings)
    assert "secret" not in str(error.value) + repr(settings)


@pytest.mark.parametrize(
    "url", ["redis://host", "REDISS://:secret@host/1", "redis://[::1]", "redis://host:6379/0?db=2"]
)
def test_a_storage_has_the_port_of_redis_unless_it_names_one(url: str) -> None:
    check_access(Settings(rate_limit="1/second", rate_limit_storage=SecretStr(url)))


def test_a_missing_redis_package_is_one_line_that_says_what_to_install() -> None:
    code = "import sys; sys.modules['redis'] = None; from app.cli import main; sys.argv[1:] = ['serve']; main()"
    environment = {"REPARAM_RATE_LIMIT": "1/second", "REPARAM_RATE_LIMIT_STORAGE": "redis://:secret@127.0.0.1:1/0"}
    end = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, cwd=Path.cwd()
    )
    assert end.returncode == 1
    assert end.stderr.count("\n") == 1 and "[redis]" in end.stderr and "secret" not in end.stderr
