"""What is counted in one process; several are in tests/e2e."""

import json
import shutil
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as prometheus
from pydantic import SecretStr
from starlette.testclient import TestClient

from app import metrics
from app.main import create_app
from app.settings import Settings
from tests.app.problems import assert_problem


def scrape(client: TestClient) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample, by its name and labels."""
    families = prometheus(client.get("/metrics").text)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def _value(samples, sample: str, /, **labels: str) -> float:
    return samples.get((sample, tuple(sorted(labels.items()))), 0.0)


def test_requests_errors_and_times_are_counted(client: TestClient) -> None:
    before = scrape(client)
    for _ in range(3):
        client.get("/v1/sample?model=mnist-mlp&seed=1")
    client.get("/v1/sample?model=nobody")
    client.get("/nothing/at/all")
    after = scrape(client)

    def grown(name: str, /, **labels: str) -> float:
        return _value(after, name, **labels) - _value(before, name, **labels)

    assert grown("reparam_requests_total", operation="sample", status="200") == 3
    assert grown("reparam_requests_total", operation="sample", status="404") == 1
    assert grown("reparam_errors_total", operation="sample", type="model-not-found") == 1
    assert grown("reparam_requests_total", operation="other", status="404") == 1
    assert grown("reparam_request_seconds_count", operation="sample") == 4
    assert grown("reparam_request_seconds_bucket", operation="sample", le="+Inf") == 4
    assert grown("reparam_request_seconds_sum", operation="sample") > 0
    assert grown("reparam_stage_seconds_count", stage="encode") == 3
    assert _value(after, "reparam_requests_in_flight") == 1  # the scrape itself


@pytest.mark.parametrize(
    ("call", "operation"),
    [
        ("", "v2_model"),
        ("/ready", "v2_model_ready"),
        ("/config", "v2_model_config"),
        ("/stats", "v2_model_statistics"),
        ("/infer", "v2_infer"),
    ],
)
def test_a_call_that_names_a_version_is_counted_as_one_that_names_none(
    client: TestClient, call: str, operation: str
) -> None:
    def counted() -> float:
        return sum(
            value
            for (name, labels), value in scrape(client).items()
            if name == "reparam_requests_total" and ("operation", operation) in labels
        )

    before = counted()
    for version in ("", "/versions/1"):
        client.request("POST" if call == "/infer" else "GET", f"/v2/models/mnist-mlp.encode{version}{call}")
    assert counted() == before + 2


def test_what_is_refused_before_it_is_looked_for_is_counted_as_what_it_asked_for() -> None:
    settings = Settings(models="mnist-mlp", api_keys=SecretStr("a-key-that-nobody-says"), open_metrics=True)
    with TestClient(create_app(settings)) as client:
        before = scrape(client)
        client.get("/v1/sample")
        client.get("/v2/models/mnist-mlp.encode")
        client.get("/nothing/at/all")
        after = scrape(client)

    def refused(operation: str) -> float:
        labels = {"operation": operation, "status": "401"}
        return _value(after, "reparam_requests_total", **labels) - _value(before, "reparam_requests_total", **labels)

    assert refused("sample") == refused("v2_model") == refused("other") == 1


def test_what_the_engine_tells_is_counted(client: TestClient) -> None:
    before = scrape(client)
    metrics.batch("mnist-mlp", "encode", 3, 0.002)
    metrics.batch("mnist-mlp", "encode", 32, 0.002)
    metrics.queue("mnist-mlp", 5, 0.5)
    metrics.queue("mnist-mlp", 3, 0.25)
    metrics.reloaded("mnist-mlp", True)
    metrics.reloaded("mnist-mlp", False)
    after = scrape(client)
    metrics.queue("mnist-mlp", 0, 0)
    metrics.unchanged("mnist-mlp")
    which = {"model": "mnist-mlp", "function": "encode"}

    def grown(name: str, /, **labels: str) -> float:
        return _value(after, name, **labels) - _value(before, name, **labels)

    assert grown("reparam_batch_images_bucket", le="2.0", **which) == 0
    assert grown("reparam_batch_images_bucket", le="4.0", **which) == 1
    assert grown("reparam_batch_images_bucket", le="32.0", **which) == 2  # a bound is within its bucket
    assert grown("reparam_batch_images_sum", **which) == grown("reparam_images_total", **which) == 35
    assert grown("reparam_batch_seconds_sum", **which) == pytest.approx(0.004)
    assert grown("reparam_queue_images", model="mnist-mlp") == 3
    assert _value(after, "reparam_queue_age_seconds", model="mnist-mlp") == 0.25
    assert grown("reparam_reloads_total", model="mnist-mlp", outcome="success") == 1
    assert grown("reparam_reloads_total", model="mnist-mlp", outcome="failure") == 1
    states = [_value(samples, "reparam_last_reload_successful", model="mnist-mlp") for samples in (before, after)]
    assert states == [1, 0]


def test_reloads_count_from_zero(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(checkpoints["tiny-2d"], tmp_path / "new"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"name": "never-reloaded"}))
    with TestClient(create_app(Settings(models=f"mnist-mlp,{folder}", lazy_models=True))) as client:
        samples = scrape(client)
    for outcome in ("success", "failure"):
        labels = {"model": "never-reloaded", "outcome": outcome}
        assert samples["reparam_reloads_total", tuple(sorted(labels.items()))] == 0


def test_what_the_schema_shows_is_not_counted(client: TestClient) -> None:
    before = scrape(client)
    with TestClient(create_app(Settings(models="mnist-mlp"))) as other:
        assert other.get("/openapi.json").status_code == 200
    names = ("reparam_images_total", "reparam_batch_images_count", "reparam_batch_seconds_count")
    assert [each for each in scrape(client).items() - before.items() if each[0][0] in names] == []


def test_what_the_supervisor_tells_is_told(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def told() -> list[float]:
        samples = scrape(client)
        exits = [_value(samples, "reparam_worker_exits_total", reason=reason) for reason in metrics.EXITS]
        return [_value(samples, "reparam_workers_wanted"), _value(samples, "reparam_workers_ready"), *exits]

    assert told() == [1, 1, 0, 0, 0]  # there is none
    monkeypatch.setattr(metrics, "_workers", None)  # is as it was, afterwards
    metrics.workers(metrics.Workers(4, 3, {"signal": 5, "hung": 1}))
    assert told() == [4, 3, 1, 5, 0]


def test_the_models_and_the_build_are_told(client: TestClient) -> None:
    samples = scrape(client)
    cards = client.get("/v1/models").json()["models"]
    for card in cards:
        labels = {key: card[key] for key in ("name", "kind", "sha256")}
        assert _value(samples, "reparam_model_info", **labels) == 1
    (build,) = [dict(labels) for name, labels in samples if name == "reparam_build_info"]
    assert build["version"] and build["python"].startswith("3.") and build["torch"].startswith("2.")


def test_open_metrics_is_told_to_who_accepts_it(client: TestClient) -> None:
    answer = client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert {"reparam_requests", "reparam_model"} <= {family.name for family in open_metrics(answer.text)}
    assert client.get("/metrics").headers["content-type"].startswith("text/plain")


def test_it_can_be_turned_off() -> None:
    with TestClient(create_app(Settings(models="mnist-mlp", metrics=False))) as client:
        assert_problem(client.get("/metrics"), 404, "not-found")
        assert "/metrics" not in client.get("/openapi.json").json()["paths"]


def test_a_head_that_is_refused_is_counted_as_what_it_asks_for() -> None:
    key = "a-key-of-some-length"
    app = create_app(Settings(models="mnist-mlp", api_keys=SecretStr(key), open_metrics=True))
    with TestClient(app) as client:
        before = scrape(client)
        assert client.head("/v1/models").status_code == 401
        after = scrape(client)
    labels = {"operation": "list_models", "status": "401"}
    assert _value(after, "reparam_requests_total", **labels) - _value(before, "reparam_requests_total", **labels) == 1
