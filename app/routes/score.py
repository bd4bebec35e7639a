"""`POST /v1/score`: how probable images are, and how unusual."""

from fastapi import APIRouter, Request, Response

from app.answers import NumberForm
from app.bodies import read_images
from app.queries import PictureQuery, described, read_query
from app.schemas import ScoreAnswer
from app.state import find_model

router = APIRouter(tags=["images and latents"])


@router.post("/v1/score", response_model=ScoreAnswer, operation_id="score", openapi_extra=described(PictureQuery))
async def score(request: Request) -> Response:
    """How probable the model finds every image, and how unusual beside digits that it was not trained on."""
    query = read_query(request, PictureQuery)
    model = find_model(request, query.model)
    form = NumberForm(request)
    scored = await model.score(await read_images(request, model, query))
    return await form.answer(model.name, **scored._asdict())
