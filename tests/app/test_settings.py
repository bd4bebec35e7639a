"""What is served when nothing is set."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from app import settings
from app.settings import Settings
from models import files
from models.strict import explain


def test_every_shipped_checkpoint_is_served(zoo: Path) -> None:
    assert set(Settings().models) == {folder.name for folder in zoo.iterdir() if folder.is_dir()}
    assert "mnist-mlp" in Settings().models


def test_the_first_choice_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mnist-ae", settings.FIRST_CHOICE, "mnist-zero", ".mnist-flow.half-written"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    (tmp_path / "notes").mkdir()
    monkeypatch.setattr(files, "ZOO", tmp_path)
    assert Settings().models == (settings.FIRST_CHOICE, "mnist-ae", "mnist-zero")


def test_a_list_that_is_set_keeps_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPARAM_MODELS", "mnist-mlp, mnist-conv")
    assert Settings().models == ("mnist-mlp", "mnist-conv")


def test_an_address_of_ipv6_is_the_same_in_brackets() -> None:
    assert Settings(host="[::1]").host == Settings(host="::1").host == "::1"


@pytest.mark.parametrize("link", ["tcp://10.96.0.17:8000", "udp://10.96.0.17:53", "sctp://[fd00::17]:9"])
def test_a_port_that_is_a_link_to_a_service_is_none(monkeypatch: pytest.MonkeyPatch, link: str) -> None:
    monkeypatch.setenv("REPARAM_PORT", link)
    assert Settings().port == 8000
    monkeypatch.setenv("REPARAM_PORT", "9000")
    assert Settings().port == 9000


def test_a_variable_without_effect_is_told_unless_it_is_a_link_to_a_service(caplog: pytest.LogCaptureFixture) -> None:
    links = ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT_8000_TCP", "PORT_8000_TCP_ADDR"]
    links += ["METRICS_PORT", "METRICS_SERVICE_HOST", "METRICS_PORT_9090_TCP_PROTO"]  # of reparam-metrics
    settings.warn_of_unknown(["REPARAM_PORT", "reparam_host", "HOME", *(f"REPARAM_{link}" for link in links)])
    assert not caplog.records
    settings.warn_of_unknown(["REPARAM_KEYS", "REPARAM_MAX_BODY"])
    told = [record.getMessage().split()[0] for record in caplog.records]
    assert told == ["REPARAM_KEYS", "REPARAM_MAX_BODY"]


@pytest.mark.parametrize(
    ("proxies", "words"),
    [("172.17.0.1/16", "172.17.0.1/16 has host bits set"), ("::1,nginx", "'nginx'"), ("10.0.0.1:80", "'10.0.0.1:80'")],
)
def test_what_is_no_network_of_proxies_is_told_and_why(proxies: str, words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(trusted_proxies=proxies)
    told = explain(caught.value)
    assert "expected an address, or a network such as 10.0.0.0/8: " in told and words in told


def test_a_list_of_no_models_is_told_in_plain_words() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(models=" , ")
    assert explain(caught.value).startswith("models: expected a checkpoint or more, found none")


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("grpc://user:hunter2@collector:4317", "grpc://..."),
        ("user:hunter2@collector:4317", "no scheme"),
        ("hunter2@collector:4317", "no scheme"),
        ("http://user:hunter2@collector:port", "http://..."),
        ("http://user:hunter2/@collector:4317", "http://..."),
        ("http://user:[hunter2@collector:4317", "http://..."),
        ("http://user:hunter2@", "http://..."),
        ("", "no scheme"),
    ],
)
def test_the_password_of_a_bad_collector_is_not_told(address: str, found: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(otlp_endpoint=address)
    assert explain(caught.value) == f"otlp_endpoint: expected http(s)://HOST:PORT, found {found}"
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("address", ["http://collector:4318", "https://user:a%2Fb@collector", "http://[::1]:4318/x/"])
def test_a_good_collector_is_taken_as_it_is(address: str) -> None:
    assert Settings(otlp_endpoint=address).otlp_endpoint == address


def test_a_worker_holds_any_body_that_it_takes() -> None:
    assert Settings(max_body_bytes=1000, max_buffered_bytes=2000).max_buffered_bytes == 2000
    with pytest.raises(ValidationError) as caught:
        Settings(max_body_bytes=1001, max_buffered_bytes=2000)
    told = explain(caught.value)
    assert told.startswith("max_buffered_bytes: expected at least twice max_body_bytes") and "2000 and 1001" in told
