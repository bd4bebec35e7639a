"""`GET /metrics`: what the service counts."""

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import PlainTextResponse

from app import metrics
from app.report import versions
from app.state import EngineDep

router = APIRouter(tags=["probes"])


@router.get(
    "/metrics",
    operation_id="metrics",
    response_class=PlainTextResponse,
    responses={200: {"content": {"application/openmetrics-text": {"schema": {"type": "string"}}}}},
)
async def read_metrics(request: Request, engine: EngineDep) -> Response:
    """The figures of all workers together, as text for Prometheus, or as OpenMetrics."""
    models = [model.card() for model in engine.models.values()]
    build = {"version" if name == "reparam" else name: value for name, value in versions().items()}
    metrics.flush()
    body, media = await run_in_threadpool(metrics.render, request.headers.get("accept", ""), build, models)
    return Response(body, media_type=media)
