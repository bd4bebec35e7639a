"""`/v1/models`: what is served."""

from fastapi import APIRouter, Response

from app.answers import json_answer
from app.schemas import ModelCard, ModelList
from app.state import EngineDep

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("", response_model=ModelList, operation_id="list_models")
async def list_models(engine: EngineDep) -> Response:
    """The card of every model, and which of them answers a call that names none."""
    return json_answer({"default": engine.default, "models": [model.card() for model in engine.models.values()]})


@router.get("/{name}", response_model=ModelCard, operation_id="get_model")
async def get_model(engine: EngineDep, name: str) -> Response:
    """A model's card: its sizes, what it can do, how it was made, what was measured, and the hash of its weights."""
    return json_answer(engine.model(name).card())
