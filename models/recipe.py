"""Recipes: a TOML file that says, with a seed, everything a training run depends on but the data."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from pydantic import Field, StrictBool, Tag, ValidationError, model_validator

from models.config import ModelConfig, Name
from models.errors import CheckpointError, RecipeError
from models.kinds import KINDS, build
from models.likelihoods import BernoulliSpec
from models.strict import Count, Number, PositiveCount, Strict, by_kind, explain

Fraction = Annotated[Number, Field(ge=0, lt=1)]
NonNegative = Annotated[Number, Field(ge=0)]
PositiveFinite = Annotated[Number, Field(gt=0)]


class DataRecipe(Strict):
    """What is done with the training digits before a model sees them."""

    validation: Count = 5000  # the last so many are held out; 0: none, and the last weights are kept
    binarize: StrictBool = True  # every pixel drawn anew, as a coin of its brightness, each time it is used


class Elbo(Strict):
    """The evidence lower bound; for a deterministic autoencoder its one term, log p(x|z).

    Source: Higgins et al. 2017, equation 4, for beta; Kingma et al. 2016, equation 15, for free bits.
    """

    name: ClassVar[str] = "ELBO"  # the bound's
    kind: Literal["elbo"] = "elbo"
    beta: NonNegative = 1.0  # the weight of the KL: 1 is the bound itself
    free_nats: NonNegative = 0.0  # of KL left unpriced: of each latent, or under a flow of all together

    def at(self, epoch: int) -> "Elbo | Iwae":  # noqa: ARG002  the same in every one
        """The objective of epoch 1, 2, ..."""
        return self


class Iwae(Strict):
    """The importance-weighted bound, which K samples tighten (Burda, Grosse & Salakhutdinov 2016, equation 8).

    A sample's share of the gradient is its share of the weight, and most have next to none. With `resampled` the
    gradient is taken of that many alone, drawn in proportion to their weights: of the same expectation, for a
    forward pass a sample and a backward pass for each of the few.

    A small encoder's samples lie where the posterior is not, and the bound then holds the decoder to codes that such an
    encoder can find. With `proposal` "laplace" the samples come from a Laplace approximation of p(z|x) instead, for
    Z + 6 forward passes more an image: the decoder and the prior learn by them, and the encoder by its own ELBO.
    """

    name: ClassVar[str] = "IWAE bound"
    kind: Literal["iwae"] = "iwae"
    samples: Annotated[int, Field(strict=True, ge=2, le=1000)]
    resampled: PositiveCount | None = None
    proposal: Literal["laplace"] | None = None  # left out: the encoder's posterior
    from_epoch: PositiveCount = 1  # before it the ELBO, of which a step costs one sample

    @model_validator(mode="after")
    def _fewer(self) -> Self:
        if self.resampled is not None and self.resampled >= self.samples:
            raise ValueError(f"expected fewer resampled than samples, found {self.resampled} of {self.samples}")
        return self

    def at(self, epoch: int) -> "Elbo | Iwae":
        """The objective of epoch 1, 2, ..."""
        return self if epoch >= self.from_epoch else Elbo()


Objective = Annotated[Annotated[Elbo, Tag("elbo")] | Annotated[Iwae, Tag("iwae")], by_kind("elbo", "iwae")]


class OptimizationRecipe(Strict):
    """How the objective is maximised: Adam, its learning rate over the steps, the weight of the KL over the steps."""

    epochs: PositiveCount
    batch_size: PositiveCount
    learning_rate: PositiveFinite
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup_steps: Count = 0  # the learning rate rises from 0
    kl_warmup_steps: Count = 0  # the KL's weight rises from 0 to 1
    average_decay: Fraction = 0.0  # of the exponential moving average of the weights; 0: the weights themselves
    start_share: Fraction = 0.0  # of the start's weights in those that are kept; the rest is the moving average's
    clip_norm: PositiveFinite | None = None  # the largest length of the gradient; left out: any
    precision: Literal["float32", "bfloat16"] = "float32"  # of the networks' products; everything else is float32
    stored: Literal["float16"] | None = None  # what the kept weights are rounded to; left out: nothing
    patience: Count = 0  # stop after so many epochs without a better validation; 0: never


class Recipe(Strict):
    """The whole recipe. The same recipe, data, thread count and machine give the same weights to the bit."""

    name: Name
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**63)]
    start: str | None = None  # a checkpoint whose weights to begin with, by name (shipped) or folder (with a /)
    model: ModelConfig
    data: DataRecipe = DataRecipe()
    objective: Objective = Elbo()
    training: OptimizationRecipe | None = None  # a kind with a closed form has none

    @model_validator(mode="after")
    def _consistent(self) -> "Recipe":
        if self.data.binarize and not isinstance(self.model.likelihood, BernoulliSpec):
            raise ValueError(
                "data.binarize is for a Bernoulli likelihood: set it to false, or the likelihood to bernoulli"
            )
        if self.training and self.training.patience and not self.data.validation:
            raise ValueError("training.patience needs held-out digits: set data.validation above 0, or patience to 0")
        if self.training and self.training.start_share and not self.start:
            raise ValueError("training.start_share needs a start to have a share of")
        if self.training and isinstance(self.objective, Iwae) and self.objective.from_epoch > self.training.epochs:
            raise ValueError(
                f"objective.from_epoch: expected an epoch of the {self.training.epochs} in training.epochs, "
                f"found {self.objective.from_epoch}"
            )
        kind = KINDS.get(self.model.kind)
        if kind is None:
            return self  # told by build(), with what there is
        if kind.closed_form:
            for key in ("training", "start", "objective"):
                if getattr(self, key) != type(self).model_fields[key].default:
                    raise ValueError(f"{key}: kind {self.model.kind!r} has a closed form: leave it out")
        elif self.training is None:
            raise ValueError(f"training: expected how kind {self.model.kind!r} is trained (epochs, batch_size, ...)")
        if not kind.generative and self.objective != Elbo():
            raise ValueError(f"objective: kind {self.model.kind!r} has log p(x|z) alone to maximise: leave it out")
        return self

    @property
    def elbo_epochs(self) -> int:
        """How many epochs go by before the objective is the one that was asked for."""
        return self.objective.from_epoch - 1 if isinstance(self.objective, Iwae) else 0

    def bound(self, epoch: int) -> str:
        """The name of what epoch 1, 2, ... raises."""
        return self.objective.at(epoch).name if KINDS[self.model.kind].generative else "log p(x|z)"


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises: RecipeError: if the file cannot be read, is not TOML, or asks for what cannot be done; it names the key.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise RecipeError(f"{path}: expected a recipe in TOML: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecipeError(f"{path}: not TOML: {error}") from error
    try:
        recipe = Recipe.model_validate(document)
        check_model(recipe)
    except ValidationError as error:
        raise RecipeError(f"{path}: {explain(error, document)}") from error
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error
    return recipe


def check_model(recipe: Recipe) -> None:
    """Raises: RecipeError: if its model cannot be built."""
    try:
        with torch.device("meta"):  # only to see that it fits: no memory, and no draw from torch's own generator
            build(recipe.model)
    except CheckpointError as error:
        raise RecipeError(f"model: {error}") from error


def recorded(recipe: Recipe) -> dict[str, Any]:
    """A recipe as a checkpoint's `config.json` has it."""
    return recipe.model_dump(mode="json", exclude_none=True)
