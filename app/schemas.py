"""The JSON that goes in and out, as types: validation of what is small, and the OpenAPI schema of all of it."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from app.engine import SEED_LIMIT, Capability
from app.numbers import kind_of
from models.strict import explain

Base64 = Annotated[str, Field(json_schema_extra={"format": "byte"})]
Row = list[float]
Pair = Annotated[Row, Field(min_length=2, max_length=2)]  # no tuple: few tools know `prefixItems`


def misfit(where: str, kind: type[BaseModel], error: ValidationError) -> str:
    """Why something is not of a type, in one line: first what the type does not know, beside what it does."""
    unknown = [str(e["loc"][0]) for e in error.errors(include_url=False) if e["type"] == "extra_forbidden"]
    if not unknown:
        return f"{where}: {explain(error)}"
    known = ", ".join(sorted(kind.model_fields)) or "none"
    return f"{where}: expected {known}, found {', '.join(sorted(unknown))[:200]}"


class SampleFields(BaseModel):
    """What to sample."""

    model_config = ConfigDict(extra="forbid", frozen=True)

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


class SampleRequest(SampleFields):
    """What to sample, as JSON."""

    @field_validator("*", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        """JSON has numbers; pydantic takes true and "1" for them, too, and tells others as Python has them."""
        if isinstance(value, bool | str | list | dict):
            raise ValueError(f"expected a number, found {kind_of(value)}")
        return value

    @field_validator("count", "temperature", mode="before")
    @classmethod
    def _given(cls, value: Any) -> Any:
        """A seed that is null is drawn."""
        if value is None:
            raise ValueError("expected a number, found null")
        return value


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


class InterpolateAnswer(ImagesAnswer):
    """Images, and the latent vectors that they were decoded from."""

    latents: list[Row] = Field(description="(steps, Z); the first and the last are the two ends' own")


class ScoreAnswer(BaseModel):
    """How probable every image is, a number each, in nats; and how unusual."""

    model: str
    elbo: Row | None = Field(description="log_likelihood - kl; null for a deterministic autoencoder")
    log_likelihood: Row = Field(description="of the image given its code")
    kl: Row | None = Field(description="of the code from the prior; null for a deterministic autoencoder")
    percentile: Row | None = Field(
        description="of -elbo (or -log_likelihood), 0..100, among digits held out of the training: near 100, the image "
        "is unlike them; null if the checkpoint has none to compare with"
    )


class MapAnswer(BaseModel):
    """Where test digits lie among the latents of a model of two."""

    model: str
    mean: list[Pair] = Field(description="(N, 2)")
    labels: list[int] = Field(description="(N,): which digit each is")


class NoveltySummary(BaseModel):
    """What `percentile` of a score compares with."""

    images: int = Field(description="how many digits were held out of the training")
    draws: int = Field(description="how many draws from the posterior a score averages")


class ModelCard(BaseModel):
    """What a model is."""

    name: str
    kind: str
    latents: int = Field(description="Z, the length of a latent vector")
    input_shape: list[int] = Field(min_length=3, max_length=3, description="channels, rows, columns")
    generative: bool = Field(description="whether its codes follow a known distribution, so that noise decodes")
    capabilities: list[Capability]
    likelihood: dict[str, Any]
    prior: dict[str, Any] | None = Field(description="null for a deterministic autoencoder")
    architecture: dict[str, Any]
    parameters: int
    sha256: str = Field(description="of model.safetensors")
    novelty: NoveltySummary | None
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
