"""`/v1/sample`: new images from standard Gaussian noise. POST for services, GET for links and `<img>`."""

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from app.answers import ImageForm
from app.bodies import read_json
from app.engine import Model
from app.errors import LimitError, MalformedError
from app.json_bodies import load_object
from app.queries import DecodeQuery, SampleQuery, described, read_query
from app.schemas import SampleAnswer, SampleFields, SampleRequest, misfit
from app.state import find_model, settings_of

router = APIRouter(tags=["generation"])


async def _sample(request: Request, model: Model, form: ImageForm, wanted: SampleFields) -> Response:
    max_samples = settings_of(request).max_samples
    if wanted.count > max_samples:
        raise LimitError("count", "max_samples", max_samples, wanted.count)
    form.check(wanted.count, model)
    drawn = await model.sample(wanted.count, wanted.seed, wanted.temperature)
    answer = await form.answer(
        model.name, drawn.images, latents=drawn.latents, seed=drawn.seed, temperature=wanted.temperature
    )
    answer.headers["X-Seed"] = str(drawn.seed)
    if wanted.seed is None:
        answer.headers["Cache-Control"] = "no-store"  # the same address gives other digits the next time
    return answer


@router.get("/v1/sample", response_model=SampleAnswer, operation_id="sample", openapi_extra=described(SampleQuery))
async def sample_by_link(request: Request) -> Response:
    """Decode standard Gaussian noise: digits that nobody wrote. The same seed gives the same digits, anywhere."""
    query = read_query(request, SampleQuery)
    model = find_model(request, query.model)
    return await _sample(request, model, ImageForm(request, query.columns, query.scale), query)


@router.post(
    "/v1/sample", response_model=SampleAnswer, operation_id="sample_with_body", openapi_extra=described(DecodeQuery)
)
async def sample(request: Request) -> Response:
    """Decode standard Gaussian noise: digits that nobody wrote. The same seed gives the same digits, anywhere."""
    query = read_query(request, DecodeQuery)
    model = find_model(request, query.model)
    form = ImageForm(request, query.columns, query.scale)
    try:
        document = load_object(await read_json(request), settings_of(request).max_json_bytes)
        wanted = SampleRequest.model_validate(document)
    except ValidationError as error:
        raise MalformedError(misfit("body", SampleRequest, error)) from error
    return await _sample(request, model, form, wanted)
