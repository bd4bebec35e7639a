"""`POST /v1/encode`: images to their posterior."""

from fastapi import APIRouter, Request, Response

from app.answers import NumberForm
from app.bodies import read_images
from app.queries import PictureQuery, described, read_query
from app.schemas import EncodeAnswer
from app.state import find_model

router = APIRouter(tags=["images and latents"])


@router.post("/v1/encode", response_model=EncodeAnswer, operation_id="encode", openapi_extra=described(PictureQuery))
async def encode(request: Request) -> Response:
    """The posterior q(z|x) = N(mean, diag(variance)) of every image: what the model makes of it."""
    query = read_query(request, PictureQuery)
    model = find_model(request, query.model)
    form = NumberForm(request)
    mean, variance = await model.encode(await read_images(request, model, query))
    return await form.answer(model.name, mean=mean, variance=variance)
