"""`/v1/sample`: new images from standard Gaussian noise. POST for services, GET for links and `<img>`."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import ValidationError

from app.answers import ImageForm, ImageFormDep
from app.bodies import JsonDep, load_object
from app.engine import Model
from app.errors import LimitError, MalformedError
from app.schemas import SampleAnswer, SampleRequest
from app.settings import Settings
from app.state import ModelDep, SettingsDep
from models.config import explain

router = APIRouter(tags=["generation"])


async def _sample(model: Model, settings: Settings, form: ImageForm, wanted: SampleRequest) -> Response:
    if wanted.count > settings.max_samples:
        raise LimitError("count", "max_samples", settings.max_samples, wanted.count)
    form.check(wanted.count, model)
    drawn = await model.sample(wanted.count, wanted.seed, wanted.temperature)
    answer = await form.answer(
        model.name, drawn.images, latents=drawn.latents, seed=drawn.seed, temperature=wanted.temperature
    )
    answer.headers["X-Seed"] = str(drawn.seed)
    if wanted.seed is None:
        answer.headers["Cache-Control"] = "no-store"  # the same address gives other digits the next time
    return answer


@router.get("/v1/sample", response_model=SampleAnswer, operation_id="sample")
async def sample_by_link(
    model: ModelDep, settings: SettingsDep, form: ImageFormDep, wanted: Annotated[SampleRequest, Query()]
) -> Response:
    """Decode standard Gaussian noise: digits that nobody wrote. The same seed gives the same digits, anywhere."""
    return await _sample(model, settings, form, wanted)


@router.post("/v1/sample", response_model=SampleAnswer, operation_id="sample_with_body")
async def sample(model: ModelDep, settings: SettingsDep, form: ImageFormDep, body: JsonDep) -> Response:
    """Decode standard Gaussian noise: digits that nobody wrote. The same seed gives the same digits, anywhere."""
    try:
        wanted = SampleRequest.model_validate(load_object(body), extra="forbid")
    except ValidationError as error:
        raise MalformedError(f"body: {explain(error)}") from error
    return await _sample(model, settings, form, wanted)
