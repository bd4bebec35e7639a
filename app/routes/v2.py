"""`/v2`: the Open Inference Protocol, with Triton's extensions for binary data, configuration, index and statistics.

Every function of a model is a model of its own, `mnist-mlp.encode` say, in the one version 1.
"""

import asyncio
import gzip
import re
import time
import zlib
from collections.abc import Callable
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Request, Response

from app import oip
from app.answers import JSON, OCTETS, json_answer
from app.errors import HEADERS, LimitError
from app.oip import VERSION, Served, Statistics, Took
from app.oip.schemas import (
    AllStatistics,
    IndexedModel,
    InferResponse,
    Live,
    ModelConfiguration,
    ModelMetadata,
    ModelReady,
    ServerMetadata,
    ServerReady,
)
from app.queries import no_query
from app.routes.health import check_ready
from app.stages import seconds_in
from app.state import EngineDep, SettingsDep, StatisticsDep
from app.streams import Body, read_body
from app.threads import off_loop_if
from models.errors import NotCapableError

EXTENSIONS = ["binary_tensor_data", "model_configuration", "model_repository", "parameters", "statistics"]
READY = {"state": "READY", "reason": ""}
UNAVAILABLE = {"state": "UNAVAILABLE", "reason": "the model cannot be loaded; the log has why"}
HEADER_LENGTH = "Inference-Header-Content-Length"
LENGTH = {  # as OpenAPI has it
    "description": "Where tensors are bytes: how many bytes the JSON takes, which they follow. 0 in a request: all of "
    "it is bytes, of the one input that the function needs.",
    "required": False,
    "schema": {"type": "integer", "minimum": 0},
}
COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda body: gzip.compress(body, 1, mtime=0),
    "deflate": lambda body: zlib.compress(body, 1),
}
MIN_COMPRESSED = 1024  # bytes: fewer would not get smaller
MAX_ON_LOOP = 2**15  # bytes: what takes longer than the way to a thread and back goes there

TAG = "open inference protocol"

router = APIRouter(tags=[TAG], dependencies=[Depends(no_query)])
probes = APIRouter(tags=[TAG])  # a balancer may append a query to them, so that no cache answers


async def _served(request: Request, engine: EngineDep, name: str) -> Served:
    found = oip.find(engine, name, request.path_params.get("version", VERSION))
    request.state.model = found.model.name  # for the log and the spans
    return found


async def _body(request: Request, settings: SettingsDep) -> Body:
    """The whole body; the JSON that it is, or begins with, is within the limit for JSON."""
    header = request.headers.get(HEADER_LENGTH, "")
    if not (header.isdecimal() and len(header) < 19):
        return await read_body(request, settings, "max_json_bytes")  # a bad length is told by whoever parses it
    if int(header) > settings.max_json_bytes:
        raise LimitError(f"bytes of JSON ({HEADER_LENGTH})", "max_json_bytes", settings.max_json_bytes, int(header))
    return await read_body(request, settings)


ServedDep = Annotated[Served, Depends(_served)]
BodyDep = Annotated[Body, Depends(_body)]


@router.get("/v2", response_model=ServerMetadata, operation_id="v2_server")
async def server(request: Request) -> Response:
    """The server, and which of Triton's extensions it has."""
    return json_answer({"name": "reparam", "version": request.app.version, "extensions": EXTENSIONS})


@probes.get("/v2/health/live", response_model=Live, operation_id="v2_live")
async def live() -> Response:
    """The process is alive."""
    return json_answer({"live": True})


@probes.get("/v2/health/ready", response_model=ServerReady, operation_id="v2_ready")
async def ready(request: Request) -> Response:
    """Every model but the lazy ones is loaded, checked and warmed, and no stop has begun."""
    check_ready(request)
    return json_answer({"ready": True})


@router.get("/v2/models/stats", response_model=AllStatistics, operation_id="v2_statistics")
async def statistics_of_all(engine: EngineDep, statistics: StatisticsDep) -> Response:
    """What every function did since the start, in all workers."""
    return await _stats(statistics, oip.served(engine))


@router.get("/v2/models/{name}", response_model=ModelMetadata, operation_id="v2_model")
@router.get("/v2/models/{name}/versions/{version}", operation_id="v2_model", include_in_schema=False)
async def metadata(served: ServedDep) -> Response:
    """The inputs and outputs of a function. `/versions/1` may follow the name, here and in the calls below."""
    return json_answer(served.metadata())


@probes.get(
    "/v2/models/{name}/ready",
    response_model=ModelReady,
    operation_id="v2_model_ready",
    responses={503: {"model": ModelReady, "description": "Not ready"}},
)
@probes.get("/v2/models/{name}/versions/{version}/ready", operation_id="v2_model_ready", include_in_schema=False)
async def model_ready(served: ServedDep) -> Response:
    """The model can answer; a lazy one is loaded by its first call, and is not ready where that failed."""
    answer = json_answer({"name": served.name, "ready": not served.model.failed})
    if served.model.failed:
        answer.status_code = 503
        answer.headers.update(HEADERS[503])
    return answer


@router.get("/v2/models/{name}/config", response_model=ModelConfiguration, operation_id="v2_model_config")
@router.get("/v2/models/{name}/versions/{version}/config", operation_id="v2_model_config", include_in_schema=False)
async def configuration(settings: SettingsDep, served: ServedDep) -> Response:
    """How Triton would configure the function."""
    return json_answer(served.configuration(settings))


@router.get("/v2/models/{name}/stats", response_model=AllStatistics, operation_id="v2_model_statistics")
@router.get("/v2/models/{name}/versions/{version}/stats", operation_id="v2_model_statistics", include_in_schema=False)
async def statistics_of_one(served: ServedDep, statistics: StatisticsDep) -> Response:
    """What a function did since the start, in all workers."""
    return await _stats(statistics, [served])


@router.post(
    "/v2/models/{name}/infer",
    response_model=InferResponse,
    operation_id="v2_infer",
    openapi_extra={
        "parameters": [{"name": HEADER_LENGTH, "in": "header", **LENGTH}],
        "responses": {"200": {"headers": {HEADER_LENGTH: LENGTH}}},
    },
)
@router.post("/v2/models/{name}/versions/{version}/infer", operation_id="v2_infer", include_in_schema=False)
async def infer(
    request: Request, settings: SettingsDep, served: ServedDep, statistics: StatisticsDep, body: BodyDep
) -> Response:
    """Call a function with tensors, and get tensors: as JSON, or as bytes after it.

    One that is bytes has a `binary_data_size` among its parameters, in place of `data`. An output is bytes where its
    parameter `binary_data`, or the request's `binary_data_output`, is true.
    """
    began = time.perf_counter_ns()
    try:
        wanted, value = await off_loop_if(len(body) > MAX_ON_LOOP, _read, request, settings, served, body)
        read = time.perf_counter_ns()
        answer = await served.call(value)
        queue = round(seconds_in("queue") * 1e9)
        called = time.perf_counter_ns()
        size = sum(values.nbytes for values in answer.outputs.values())
        content, header = await off_loop_if(
            size > MAX_ON_LOOP, oip.respond, served.name, VERSION, wanted, answer.outputs, answer.parameters
        )
    except (Exception, asyncio.CancelledError):
        statistics.fail(served.name, time.perf_counter_ns() - began)
        raise
    took = Took(read - began, queue, called - read - queue, time.perf_counter_ns() - called)
    statistics.succeed(served.name, len(next(iter(answer.outputs.values()))), took)
    return await _respond(request, content, header)


@router.post("/v2/repository/index", response_model=list[IndexedModel], operation_id="v2_index")
async def index(engine: EngineDep, settings: SettingsDep, body: BodyDep) -> Response:
    """Every function of every model. All are ready but those of a lazy model that could not be loaded."""
    ready_alone = oip.read_ready(body, settings.max_json_bytes)
    models = [
        {"name": one.name, "version": VERSION} | (UNAVAILABLE if one.model.failed else READY)
        for one in oip.served(engine)
        if not (ready_alone and one.model.failed)
    ]
    return Response(orjson.dumps(models), media_type=JSON)


@router.post("/v2/repository/models/{name}/load", include_in_schema=False)
@router.post("/v2/repository/models/{name}/unload", include_in_schema=False)
async def load(name: str) -> Response:
    """Refused."""
    raise NotCapableError(
        f"{name:.80}: models are loaded when the server starts (models, set by REPARAM_MODELS), and neither loaded nor "
        "unloaded by a request"
    )


router.routes.extend(probes.routes)


def _read(request: Request, settings: SettingsDep, served: Served, body: Body) -> tuple[oip.Request, Any]:
    wanted = oip.parse(body, settings.max_json_bytes, request.headers.get(HEADER_LENGTH), served.inputs)
    return wanted, served.read(settings, wanted)


async def _respond(request: Request, content: bytes, header: int | None) -> Response:
    headers = {"Vary": "Accept-Encoding"}
    if header is not None:
        headers[HEADER_LENGTH] = str(header)
    encoding = _encoding(request.headers.get("accept-encoding", ""))
    if encoding and len(content) >= MIN_COMPRESSED:
        content = await off_loop_if(len(content) > MAX_ON_LOOP, COMPRESSIONS[encoding], content)
        headers["Content-Encoding"] = encoding
    media = JSON if header is None else OCTETS
    return Response(content, headers=headers, media_type=media)


def _encoding(accepted: str) -> str | None:
    """The compression that Accept-Encoding names first, of those there are."""
    for part in accepted.lower().split(","):
        coding, _, quality = part.replace(" ", "").partition(";")
        if coding in COMPRESSIONS and not re.fullmatch(r"q=0(\.0*)?", quality):
            return coding
    return None


async def _stats(statistics: Statistics, served: list[Served]) -> Response:
    names = [one.name for one in served]
    documents = zip(names, await statistics.documents(names), strict=True)
    return json_answer({"model_stats": [{"name": name, "version": VERSION} | told for name, told in documents]})
