"""`POST /v1/decode`: latent vectors to images."""

from fastapi import APIRouter, Request, Response

from app.answers import ImageForm
from app.bodies import read_latents
from app.queries import DecodeQuery, described, read_query
from app.schemas import ImagesAnswer
from app.state import find_model

router = APIRouter(tags=["images and latents"])


@router.post("/v1/decode", response_model=ImagesAnswer, operation_id="decode", openapi_extra=described(DecodeQuery))
async def decode(request: Request) -> Response:
    """The mean image that each latent vector stands for."""
    query = read_query(request, DecodeQuery)
    model = find_model(request, query.model)
    form = ImageForm(request, query.columns, query.scale)
    latents = await read_latents(request, model)
    form.check(len(latents), model)
    return await form.answer(model.name, await model.decode(latents))
