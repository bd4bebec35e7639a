"""`POST /v1/reconstruct`: images, as the model remembers them."""

from fastapi import APIRouter, Request, Response

from app.answers import ImageForm
from app.bodies import read_images
from app.queries import ReconstructQuery, described, read_query
from app.schemas import ImagesAnswer
from app.state import find_model

router = APIRouter(tags=["images and latents"])


@router.post(
    "/v1/reconstruct",
    response_model=ImagesAnswer,
    operation_id="reconstruct",
    openapi_extra=described(ReconstructQuery),
)
async def reconstruct(request: Request) -> Response:
    """Encode every image and decode its mean: what is left after the bottleneck.

    The linear model, whose mean is drawn towards the prior's, projects instead, as PCA does.
    """
    query = read_query(request, ReconstructQuery)
    model = find_model(request, query.model)
    form = ImageForm(request, query.columns, query.scale)
    images = await read_images(request, model, query)
    form.check(len(images), model)
    return await form.answer(model.name, await model.reconstruct(images))
