"""`POST /v1/interpolate`: the images between two."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from app.answers import StripFormDep
from app.bodies import EndsDep
from app.errors import LimitError
from app.interpolation import Way
from app.schemas import InterpolateAnswer
from app.state import ModelDep, SettingsDep

router = APIRouter(tags=["images and latents"])


async def read_steps(
    settings: SettingsDep,
    steps: Annotated[int, Query(ge=2, description="How many images, the two ends' included.")] = 8,
) -> int:
    """Raises: LimitError."""
    if steps > settings.max_steps:
        raise LimitError("steps", "max_steps", settings.max_steps, steps)
    return steps


@router.post("/v1/interpolate", response_model=InterpolateAnswer, operation_id="interpolate")
async def interpolate(
    model: ModelDep,
    form: StripFormDep,
    steps: Annotated[int, Depends(read_steps)],
    ends: EndsDep,
    path: Annotated[
        Way,
        Query(
            description="`linear` is straight in the latents; `spherical` is a great circle in the noise that the "
            "prior turns into codes, and stays where draws lie: for models that generate."
        ),
    ] = "linear",
) -> Response:
    """Decode the codes on the way from one image or latent vector to another; the ends are exactly the two codes."""
    form.check(steps, model)
    images, latents = await model.interpolate(ends, steps, path)
    return await form.answer(model.name, images, latents=latents)
