"""The JSON that goes in and out, as types: validation of what is small, and the OpenAPI schema of all of it."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.engine import SEED_LIMIT

Base64 = Annotated[str, Field(json_schema_extra={"format": "byte"})]
Row = list[float]


class SampleRequest(BaseModel):
    """What to sample."""

    model_config = ConfigDict(extra="ignore")  # as a query it shares the line with `model`, `columns` and `scale`

    count: int = Field(1, ge=1, description="How many images.")
    seed: int | None = Field(
        None, ge=0, lt=SEED_LIMIT, description="The noise; left out, a new one is drawn, and told in the answer."
    )
    temperature: float = Field(
        1.0,
        ge=0,
        le=10,
        allow_inf_nan=False,
        description="Scales the noise: below 1 safer digits, above 1 wilder ones.",
    )


class ImageFiles(BaseModel):
    """Images as base64 of PNG, JPEG, WebP, BMP, GIF or TIFF files."""

    model_config = ConfigDict(extra="forbid")
    images: list[Base64] = Field(min_length=1)


class ImagePixels(BaseModel):
    """Images as numbers in 0..1, light strokes on dark: each a row of H·W numbers, or H rows of W."""

    model_config = ConfigDict(extra="forbid")
    pixels: list[Row] | list[list[Row]] = Field(min_length=1)


class Latents(BaseModel):
    """Latent vectors, Z numbers each."""

    model_config = ConfigDict(extra="forbid")
    latents: list[Row] = Field(min_length=1)


class EncodeAnswer(BaseModel):
    """The posterior of every image, a row each."""

    model: str
    mean: list[Row] = Field(description="(N, Z)")
    variance: list[Row] | None = Field(description="(N, Z); null for a deterministic autoencoder")


class ImagesAnswer(BaseModel):
    """Images as base64 of PNG files."""

    model: str
    images: list[Base64]


class SampleAnswer(ImagesAnswer):
    """Images, the latent vectors that they were decoded from, and what makes them again."""

    latents: list[Row] = Field(description="(N, Z), temperature included")
    seed: int
    temperature: float


class ModelCard(BaseModel):
    """What a model is."""

    name: str
    kind: str
    latents: int = Field(description="Z, the length of a latent vector")
    input_shape: tuple[int, int, int] = Field(description="channels, rows, columns")
    capabilities: list[Literal["encode", "decode", "reconstruct", "sample"]]
    likelihood: dict[str, Any]
    prior: dict[str, Any]
    architecture: dict[str, Any]
    parameters: int
    sha256: str = Field(description="of model.safetensors")
    metrics: dict[str, Any]
    training: dict[str, Any]


class ModelList(BaseModel):
    """The models that are served."""

    default: str
    models: list[ModelCard]


class Alive(BaseModel):
    status: Literal["alive"]


class Ready(BaseModel):
    status: Literal["ready"]
    models: list[str]


class Problem(BaseModel):
    """Why a call failed (RFC 9457)."""

    type: str = Field(examples=["urn:reparam:problem:model-not-found"])
    title: str
    status: int
    detail: str = Field(description="what was expected and what was found")
    request_id: str
