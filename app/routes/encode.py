"""`POST /v1/encode`: images to their posterior."""

from fastapi import APIRouter, Response

from app.answers import NumberFormDep
from app.bodies import ImagesDep
from app.schemas import EncodeAnswer
from app.state import ModelDep

router = APIRouter(tags=["images and latents"])


@router.post("/v1/encode", response_model=EncodeAnswer, operation_id="encode")
async def encode(model: ModelDep, form: NumberFormDep, images: ImagesDep) -> Response:
    """The posterior q(z|x) = N(mean, diag(variance)) of every image: what the model makes of it."""
    mean, variance = await model.encode(images)
    return await form.answer(model.name, mean=mean, variance=variance)
