"""The HTTP resources, one file each: validate, one engine call, answer."""

from app.routes import (
    decode,
    docs,
    encode,
    fit,
    health,
    interpolate,
    metrics,
    models,
    playground,
    reconstruct,
    sample,
    score,
    v2,
)

RESOURCES = (
    encode,
    decode,
    reconstruct,
    interpolate,
    score,
    sample,
    fit,
    models,
    health,
    metrics,
    v2,
    docs,
    playground,
)
