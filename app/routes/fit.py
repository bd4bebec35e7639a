"""`POST /v1/fit`: images, as a model sees them."""

from fastapi import APIRouter, Request, Response

from app.answers import ImageForm
from app.batching import as_numbers
from app.bodies import read_images
from app.queries import ReconstructQuery, described, read_query
from app.schemas import ImagesAnswer
from app.state import find_model

router = APIRouter(tags=["images and latents"])


@router.post("/v1/fit", response_model=ImagesAnswer, operation_id="fit", openapi_extra=described(ReconstructQuery))
async def fit(request: Request) -> Response:
    """Make every picture the model's input, and answer that: what every other call sees of it."""
    query = read_query(request, ReconstructQuery)
    model = find_model(request, query.model)
    form = ImageForm(request, query.columns, query.scale)
    images = as_numbers(await read_images(request, model, query))
    form.check(len(images), model)
    return await form.answer(model.name, images)
