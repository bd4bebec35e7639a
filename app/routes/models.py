"""`/v1/models`: what is served."""

from math import isqrt

import numpy as np
from fastapi import APIRouter, Depends, Request, Response

from app.answers import PNG, MapForm, json_answer
from app.errors import LimitError
from app.queries import SIZE, MapQuery, described, no_query, read_query
from app.schemas import MapAnswer, ModelCard, ModelList
from app.state import EngineDep, SettingsDep, find_model

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("", response_model=ModelList, operation_id="list_models", dependencies=[Depends(no_query)])
async def list_models(engine: EngineDep) -> Response:
    """The card of every model, and which of them answers a call that names none."""
    return json_answer({"default": engine.default, "models": [model.card() for model in engine.models.values()]})


@router.get("/{name}", response_model=ModelCard, operation_id="get_model", dependencies=[Depends(no_query)])
async def get_model(request: Request, name: str) -> Response:
    """A model's card: its sizes, what it can do, how it was made, what was measured, and the hash of its weights."""
    return json_answer(find_model(request, name).card())


@router.get("/{name}/map", response_model=MapAnswer, operation_id="get_map", openapi_extra=described(MapQuery))
async def get_map(request: Request, settings: SettingsDep, name: str) -> Response:
    """The latents of a model of two: where test digits lie, or, as PNG, what it decodes at its prior's quantiles."""
    query = read_query(request, MapQuery)
    size = query.size or min(SIZE, isqrt(settings.max_samples))
    form = MapForm(request, size, query.scale)
    model = find_model(request, name)
    mean, labels = await model.map()
    if form.media != PNG:
        # Stored in half precision, whose third decimal is the last that all but the smallest codes have.
        return await form.numbers(model.name, mean=mean.astype(np.float32).round(3), labels=labels)
    count = size**2
    if count > settings.max_samples:
        raise LimitError("images of the map (size x size)", "max_samples", settings.max_samples, count)
    form.check(count, model)
    images = await model.draw_map(size)
    return await form.answer(model.name, images)
