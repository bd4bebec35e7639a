"""The HTTP resources, one file each: validate, one engine call, answer."""

from fastapi import APIRouter

from app.routes import decode, encode, health, interpolate, models, reconstruct, sample, score

router = APIRouter()
for resource in (encode, decode, reconstruct, interpolate, score, sample, models, health):
    router.include_router(resource.router)
