"""The HTTP resources, one file each: validate, one engine call, answer."""

from fastapi import APIRouter

from app.routes import decode, encode, health, models, sample

router = APIRouter()
for resource in (encode, decode, sample, models, health):
    router.include_router(resource.router)
