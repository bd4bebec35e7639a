"""The HTTP resources, one file each: validate, one engine call, answer."""

from app.routes import decode, encode, health, interpolate, metrics, models, reconstruct, sample, score, v2

RESOURCES = (encode, decode, reconstruct, interpolate, score, sample, models, health, metrics, v2)
