"""Probes."""

import pytest
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from tests.app.problems import assert_problem


def test_while_it_stops_the_service_is_alive_and_not_ready() -> None:
    with TestClient(create_app(Settings(models="mnist-mlp"))) as client:
        assert client.get("/readyz").json() == {"status": "ready", "models": ["mnist-mlp"]}
        client.app_state["draining"].set()
        answer = client.get("/readyz")
        assert_problem(answer, 503, "draining")
        assert answer.headers["connection"] == "close"
        assert client.get("/healthz").json() == {"status": "alive"}
        assert client.get("/v1/sample").status_code == 200


@pytest.mark.parametrize(
    "probe",
    [
        "/healthz",
        "/readyz",
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/mnist-mlp.encode/ready",
        "/v2/models/mnist-mlp.encode/versions/1/ready",
    ],
)
def test_a_probe_does_not_mind_a_query(client: TestClient, probe: str) -> None:
    plain, asked = client.get(probe), client.get(f"{probe}?ts=1&ts=2")
    assert plain.status_code == asked.status_code == 200 and plain.json() == asked.json()
