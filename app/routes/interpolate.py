"""`POST /v1/interpolate`: the images between two."""

from fastapi import APIRouter, Request, Response

from app.answers import ImageForm
from app.bodies import read_ends
from app.errors import LimitError
from app.queries import MAX_COLUMNS, STEPS, InterpolateQuery, described, read_query
from app.schemas import InterpolateAnswer
from app.state import find_model, settings_of

router = APIRouter(tags=["images and latents"])


@router.post(
    "/v1/interpolate",
    response_model=InterpolateAnswer,
    operation_id="interpolate",
    openapi_extra=described(InterpolateQuery),
)
async def interpolate(request: Request) -> Response:
    """Decode the codes on the way from one image or latent vector to another; the ends are exactly the two codes."""
    query = read_query(request, InterpolateQuery)
    model = find_model(request, query.model)
    form = ImageForm(request, query.columns or MAX_COLUMNS, query.scale)
    max_steps = settings_of(request).max_steps
    steps = query.steps or min(STEPS, max_steps)
    if steps > max_steps:
        raise LimitError("steps", "max_steps", max_steps, steps)
    form.check(steps, model)
    ends = await read_ends(request, model, query)
    images, latents = await model.interpolate(ends, steps, query.path)
    return await form.answer(model.name, images, latents=latents)
