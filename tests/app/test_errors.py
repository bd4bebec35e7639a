"""Every way to fail is a problem, and the start fails in one line."""

import json

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.engine import Engine
from app.errors import PROBLEMS
from app.main import create_app
from app.settings import Settings
from models import errors
from models.errors import CheckpointError, NotGenerativeError, ReparamError
from tests.app.problems import assert_problem


def test_what_is_not_there(client: TestClient) -> None:
    assert "/v1/nothing" in assert_problem(client.get("/v1/nothing"), 404, "not-found")["detail"]


def test_a_method_that_is_not_allowed_says_which_are(client: TestClient) -> None:
    answer = client.get("/v1/encode")
    assert assert_problem(answer, 405, "method-not-allowed")["detail"] == "GET is not for /v1/encode: expected POST"
    assert answer.headers["allow"] == "POST"


def test_every_method_of_a_path_is_named(client: TestClient) -> None:
    assert client.delete("/v1/sample").headers["allow"] == "GET, HEAD, POST"


def test_head_is_answered_where_get_is(client: TestClient) -> None:
    for path in ("/healthz", "/readyz", "/v1/models", "/v1/sample", "/docs"):
        assert client.head(path).status_code == 200
    assert client.head("/v1/encode").status_code == 405


def test_a_slash_too_many_is_not_followed_elsewhere(client: TestClient) -> None:
    assert_problem(client.get("/v1/models/", headers={"host": "elsewhere.example"}), 404, "not-found")


def test_what_is_unexpected_is_a_problem_and_tells_the_caller_nothing_of_the_inside() -> None:
    app = create_app(Settings(models="mnist-mlp"))
    app.add_api_route("/broken", _broken)
    with TestClient(app, raise_server_exceptions=False) as client:
        assert "secret" not in json.dumps(assert_problem(client.get("/broken"), 500, "internal-server-error"))


def _broken() -> None:
    raise RuntimeError("the secret of the inside")


def test_a_domain_error_keeps_its_words() -> None:
    app: FastAPI = create_app(Settings(models="mnist-mlp"))

    def refuse() -> None:
        raise NotGenerativeError("mnist-ae does not generate")

    app.add_api_route("/refuse", refuse)
    with TestClient(app) as client:
        problem = assert_problem(client.get("/refuse"), 409, "not-generative")
    assert problem["detail"] == "mnist-ae does not generate"


def test_every_error_that_a_caller_can_cause_has_a_line_in_the_table() -> None:
    offline = {errors.CheckpointError, errors.DataError, errors.RecipeError, errors.TrainingError}
    defined = {e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, ReparamError)}
    for kind in defined - offline - {ReparamError}:
        assert any(issubclass(kind, listed) for listed in PROBLEMS), kind


def test_each_request_has_an_id_of_its_own(client: TestClient) -> None:
    assert client.get("/healthz").headers["x-request-id"] != client.get("/healthz").headers["x-request-id"]


@pytest.mark.parametrize(("models", "words"), [("nobody", "nobody"), ("mnist-mlp,mnist-mlp", "a name of its own")])
def test_a_bad_list_of_models_fails_the_start(models: str, words: str) -> None:
    with pytest.raises(CheckpointError, match=words), TestClient(create_app(Settings(models=models))):
        pass


def test_an_unknown_default_fails_the_start(zoo) -> None:
    with pytest.raises(CheckpointError, match="nobody"):
        Engine.load([zoo / "mnist-mlp"], default="nobody")
