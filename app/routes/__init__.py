"""The HTTP resources, one file each: validate, one engine call, answer."""

from fastapi import APIRouter, Depends

from app.parameters import known_parameters
from app.routes import decode, encode, health, interpolate, models, reconstruct, sample, score, v2

router = APIRouter()
for resource in (encode, decode, reconstruct, interpolate, score, sample, models, v2):
    router.include_router(resource.router, dependencies=[Depends(known_parameters)])
router.include_router(health.router)  # a probe may add what it likes
