"""The short way to the data calls leads where the framework's does."""

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.testclient import TestClient

from app.direct import Direct

router = APIRouter()


async def _nothing() -> None:
    pass


@router.post("/alone")
async def alone(request: Request) -> Response:
    return Response(str(len(await request.body())))


@router.get("/query")
async def query(request: Request, count: int) -> Response:
    return Response(f"{request.method} {count}")


@router.get("/depends", dependencies=[Depends(_nothing)])
async def depends(request: Request) -> Response:
    return Response(request.method)


@router.get("/path/{name}")
async def path(request: Request, name: str) -> Response:
    return Response(f"{request.method} {name}")


def test_only_who_takes_the_request_alone_is_called_directly() -> None:
    app = FastAPI(redirect_slashes=False)
    app.include_router(router)
    direct = Direct(app, router.routes)
    assert list(direct._routes) == [("POST", "/alone")]
    client = TestClient(direct)
    assert client.post("/alone", content=b"12345").text == "5"
    assert client.get("/query?count=3").text == "GET 3"
    assert client.get("/query?count=x").status_code == 422
    assert client.get("/depends").text == "GET"
    assert client.get("/path/one").text == "GET one"
    assert client.get("/alone").status_code == 405
    assert client.post("/alone/").status_code == 404


def test_what_calls_directly_names_the_route_as_the_framework_does() -> None:
    async def show(request: Request) -> Response:
        return Response(request.scope["route"].operation_id)

    app, router = FastAPI(), APIRouter()
    router.add_api_route("/show", show, operation_id="shown")
    app.include_router(router)
    assert TestClient(Direct(app, router.routes)).get("/show").text == "shown"
    assert TestClient(Direct(app, router.routes), root_path="/below").get("/below/show").text == "shown"


@pytest.mark.parametrize("call", ["encode", "decode", "reconstruct", "interpolate", "score", "sample", "fit"])
def test_every_data_call_is_called_directly(client: TestClient, call: str) -> None:
    layer = client.app.middleware_stack
    while not isinstance(layer, Direct):
        layer = layer.app
    assert ("POST", f"/v1/{call}") in layer._routes
    answer = client.put(f"/v1/{call}")
    assert answer.status_code == 405 and "POST" in answer.headers["allow"]
