"""`POST /v1/encode`: images to their posterior."""

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from app.answers import JSON, choose, json_answer
from app.bodies import ImagesDep
from app.schemas import EncodeAnswer
from app.state import ModelDep

router = APIRouter(tags=["images and latents"])


@router.post("/v1/encode", response_model=EncodeAnswer, operation_id="encode")
async def encode(request: Request, model: ModelDep, images: ImagesDep) -> Response:
    """The posterior q(z|x) = N(mean, diag(variance)) of every image: what the model makes of it."""
    choose(request, (JSON,))
    mean, variance = await run_in_threadpool(model.encode, images)
    return json_answer({"model": model.name, "mean": mean, "variance": variance})
