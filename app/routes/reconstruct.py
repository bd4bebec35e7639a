"""`POST /v1/reconstruct`: images, as the model remembers them."""

from fastapi import APIRouter, Response

from app.answers import ImageFormDep
from app.bodies import ImagesDep
from app.schemas import ImagesAnswer
from app.state import ModelDep

router = APIRouter(tags=["images and latents"])


@router.post("/v1/reconstruct", response_model=ImagesAnswer, operation_id="reconstruct")
async def reconstruct(model: ModelDep, form: ImageFormDep, images: ImagesDep) -> Response:
    """Encode every image and decode its mean: what is left after the bottleneck."""
    form.check(len(images), model)
    rebuilt = await model.reconstruct(images)
    return await form.answer(model.name, rebuilt)
