"""Everything an operator can set, each by an environment variable REPARAM_NAME."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

ZOO = Path(__file__).resolve().parent.parent / "models" / "zoo"


class Settings(BaseSettings):
    """The service's configuration; frozen, so that it is the same for every request."""

    model_config = SettingsConfigDict(env_prefix="REPARAM_", frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    workers: PositiveInt = Field(1, description="Processes that serve.")
    threads: PositiveInt = Field(1, description="CPU threads of torch in each worker.")
    models: Annotated[tuple[str, ...], NoDecode] = Field(
        ("mnist-mlp",),
        min_length=1,
        description="Checkpoints to serve, separated by commas: names of shipped ones, or paths (with a /).",
    )
    default_model: str | None = Field(
        None, description="The model of a call that names none; left out, the first of `models`."
    )
    max_body_bytes: PositiveInt = Field(10 * 2**20, description="Largest request body.")
    max_images: PositiveInt = Field(256, description="Most images in a request.")
    max_image_pixels: PositiveInt = Field(25_000_000, description="Most pixels of an uploaded image, before decoding.")
    max_latents: PositiveInt = Field(1024, description="Most latent vectors in a request.")
    max_samples: PositiveInt = Field(1024, description="Most images drawn by a request.")
    shutdown_timeout_s: PositiveFloat = Field(10.0, description="How long a stop waits for requests in flight.")

    @field_validator("models", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    def checkpoint_folders(self) -> list[Path]:
        """Where each of `models` lies: a name without a slash is a shipped checkpoint's."""
        return [Path(model) if "/" in model else ZOO / model for model in self.models]
