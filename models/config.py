"""What a checkpoint's `config.json` says."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from models.likelihoods import LikelihoodSpec
from models.priors import PriorSpec, StandardNormalSpec
from models.strict import Number, PositiveCount, Sha256, Strict, Width

FORMAT_VERSION = 1

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class DigitPreprocessing(Strict):
    """How a picture becomes the model's input: MNIST's way (ink scaled into a box, centred by mass)."""

    kind: Literal["digit"] = "digit"
    box: PositiveCount = 20


class ModelConfig(Strict):
    """The arguments that rebuild a model, without its weights."""

    kind: str
    input_shape: tuple[Width, Width, Width] = (1, 28, 28)  # channels, rows, columns
    architecture: dict[str, Any]
    likelihood: LikelihoodSpec
    prior: PriorSpec = StandardNormalSpec()


class Weights(Strict):
    """The file with the weights, and what it must hash to."""

    file: Literal["model.safetensors"] = "model.safetensors"
    sha256: Sha256


class MapFile(Strict):
    """The file with the codes of test digits, for looking at a model of two latents, and what it must hash to."""

    file: Literal["map.safetensors"] = "map.safetensors"
    sha256: Sha256


class Novelty(Strict):
    """How surprising the model finds held-out training digits: what a new image's surprise is ranked among."""

    images: PositiveCount  # how many were held out
    draws: Annotated[PositiveCount, Field(le=1000)]  # K, the draws from the posterior that a score averages
    quantiles: Annotated[tuple[Number, ...], Field(min_length=2)]  # of the surprise in nats, evenly from 0 to 1

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if list(self.quantiles) != sorted(self.quantiles):
            raise ValueError("expected ascending quantiles")
        return self


class CheckpointConfig(Strict):
    """The whole of `config.json`."""

    format_version: Literal[1] = 1
    name: Name
    model: ModelConfig
    preprocessing: DigitPreprocessing = DigitPreprocessing()
    weights: Weights
    map: MapFile | None = None
    novelty: Novelty | None = None  # of held-out training digits; None: none were held out
    training: dict[str, Any] = Field(default_factory=dict)  # where it comes from: recipe, data, commit, versions
    metrics: dict[str, Any] = Field(default_factory=dict)  # what `reparam evaluate` measured

    @model_validator(mode="after")
    def _fits(self) -> Self:
        channels, rows, columns = self.model.input_shape
        if channels != 1 or rows != columns or self.preprocessing.box > rows:
            raise ValueError(
                f"preprocessing: expected one channel and a square of at least {self.preprocessing.box} pixels a side, "
                f"found input_shape {list(self.model.input_shape)}"
            )
        return self
