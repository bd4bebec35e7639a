"""`POST /v1/score`: how probable images are, and how unusual."""

from fastapi import APIRouter, Response

from app.answers import NumberFormDep
from app.bodies import ImagesDep
from app.schemas import ScoreAnswer
from app.state import ModelDep

router = APIRouter(tags=["images and latents"])


@router.post("/v1/score", response_model=ScoreAnswer, operation_id="score")
async def score(model: ModelDep, form: NumberFormDep, images: ImagesDep) -> Response:
    """How probable the model finds every image, and how unusual beside digits that it was not trained on."""
    scored = await model.score(images)
    return await form.answer(model.name, **scored._asdict())
