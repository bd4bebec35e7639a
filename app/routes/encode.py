"""`POST /v1/encode`: images to their posterior."""

from fastapi import APIRouter, Depends, Response

from app.answers import accept_json, json_answer
from app.bodies import ImagesDep
from app.schemas import EncodeAnswer
from app.state import ModelDep

router = APIRouter(tags=["images and latents"])


@router.post("/v1/encode", response_model=EncodeAnswer, operation_id="encode", dependencies=[Depends(accept_json)])
async def encode(model: ModelDep, images: ImagesDep) -> Response:
    """The posterior q(z|x) = N(mean, diag(variance)) of every image: what the model makes of it."""
    mean, variance = await model.encode(images)
    return json_answer({"model": model.name, "mean": mean, "variance": variance})
