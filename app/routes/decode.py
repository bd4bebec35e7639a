"""`POST /v1/decode`: latent vectors to images."""

from fastapi import APIRouter, Response

from app.answers import ImageFormDep
from app.bodies import LatentsDep
from app.schemas import ImagesAnswer
from app.state import ModelDep

router = APIRouter(tags=["images and latents"])


@router.post("/v1/decode", response_model=ImagesAnswer, operation_id="decode")
async def decode(model: ModelDep, form: ImageFormDep, latents: LatentsDep) -> Response:
    """The mean image that each latent vector stands for."""
    form.check(len(latents), model)
    images = await model.decode(latents)
    return await form.answer(model.name, images)
