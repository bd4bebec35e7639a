"""POST /v1/score: how probable images are, and how unusual."""

import numpy as np
import pytest
from starlette.testclient import TestClient

from tests.app.problems import assert_problem

COLUMNS = {"elbo", "log_likelihood", "kl", "percentile"}


def _score(client: TestClient, x: np.ndarray, model: str = "mnist-mlp") -> dict[str, list[float]]:
    parts = [
        client.post(f"/v1/score?model={model}", json={"pixels": part.reshape(len(part), -1).tolist()}).json()
        for part in np.array_split(x, -(-len(x) // 8))
    ]
    return {c: [v for part in parts for v in part[c]] if parts[0][c] is not None else None for c in COLUMNS}


def test_the_elbo_is_the_likelihood_less_the_divergence(client: TestClient, digits) -> None:
    x = digits[:8] / 255
    answer = client.post("/v1/score", json={"pixels": x.tolist()})
    assert answer.status_code == 200 and answer.json().keys() == {"model"} | COLUMNS
    scored = _score(client, x)
    np.testing.assert_allclose(scored["elbo"], np.subtract(scored["log_likelihood"], scored["kl"]), rtol=1e-5)
    assert -200 < np.mean(scored["elbo"]) < -50 and min(scored["kl"]) > 5  # nats, of a model of MNIST


def test_the_divergence_is_that_of_the_posterior_that_encode_gives(client: TestClient, digits) -> None:
    body = {"pixels": (digits[:4] / 255).tolist()}
    posterior = client.post("/v1/encode", json=body).json()
    mean, variance = np.array(posterior["mean"]), np.array(posterior["variance"])
    kl = 0.5 * (np.square(mean) + variance - 1 - np.log(variance)).sum(1)
    np.testing.assert_allclose(client.post("/v1/score", json=body).json()["kl"], kl, rtol=1e-4)


@pytest.mark.parametrize("model", ["mnist-mlp", "tiny-linear", "tiny-ae", "tiny-conv", "tiny-flow"])
def test_a_score_does_not_depend_on_the_neighbours(client: TestClient, digits, model: str) -> None:
    x = digits[:5] / 255
    together, alone = _score(client, x, model), [_score(client, x[i : i + 1], model) for i in range(5)]
    for column, values in together.items():
        if values is not None:
            np.testing.assert_allclose(values, [a[column][0] for a in alone], rtol=1e-5)


def test_the_percentile_is_a_rank_among_held_out_digits(client: TestClient, digits) -> None:
    """Of test digits about every rank is met as often; what is no digit is beyond them all."""
    ranks = _score(client, digits[::10] / 255, "tiny-linear")["percentile"]
    assert min(ranks) >= 0 and max(ranks) <= 100
    assert abs(np.mean(ranks) - 50) < 12 and np.std(ranks) > 20  # uniform: 50 (its error 2.9) and 28.9
    noise = np.random.default_rng(0).random((4, 28, 28))
    assert _score(client, noise, "tiny-linear")["percentile"] == [100.0] * 4


@pytest.mark.parametrize("model", ["tiny-ae", "tiny-dae"])
def test_a_deterministic_model_has_the_likelihood_alone(client: TestClient, digits, model: str) -> None:
    scored = _score(client, digits[:3] / 255, model)
    assert scored["elbo"] is None and scored["kl"] is None
    assert len(scored["log_likelihood"]) == len(scored["percentile"]) == 3


def test_without_held_out_digits_there_is_no_rank(client: TestClient, digits) -> None:
    scored = _score(client, digits[:2] / 255, "tiny-conv")
    assert scored["percentile"] is None and len(scored["elbo"]) == 2


def test_it_takes_what_encode_takes(client: TestClient, seven: bytes, digits) -> None:
    of_file = client.post("/v1/score", content=seven, headers={"content-type": "image/png"}).json()
    assert of_file == client.post("/v1/score", json={"pixels": (digits[:1] / 255).tolist()}).json()
    assert_problem(client.post("/v1/score", json={"latents": [[0.0] * 50]}), 422, "malformed-request")
    headers = {"content-type": "image/png", "accept": "image/png"}
    assert_problem(client.post("/v1/score", content=b"no image", headers=headers), 406, "not-acceptable")
