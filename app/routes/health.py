"""Probes: is the process alive, and can it answer."""

from fastapi import APIRouter, Request, Response

from app.answers import json_answer
from app.errors import DrainingError
from app.schemas import Alive, Ready
from app.state import EngineDep

router = APIRouter(tags=["probes"])


def check_ready(request: Request) -> None:
    """Raises: DrainingError: if a stop has begun."""
    if request.state.draining.is_set():
        raise DrainingError("the service is stopping: send requests elsewhere")


@router.get("/healthz", response_model=Alive, operation_id="healthz")
async def healthz() -> Response:
    """The process is alive."""
    return json_answer({"status": "alive"})


@router.get("/readyz", response_model=Ready, operation_id="readyz")
async def readyz(request: Request, engine: EngineDep) -> Response:
    """Every model but the lazy ones is loaded, checked and warmed, and no stop has begun."""
    check_ready(request)
    return json_answer({"status": "ready", "models": list(engine.models)})
