"""The functions of a model, each served as a model of its own: what it takes, what it answers, and the call."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import numpy as np
from pydantic import ValidationError

from app.batching import Rows
from app.engine import Array, Engine, Model
from app.errors import LimitError, MalformedError
from app.oip.messages import Outputs, Request
from app.oip.tensors import FLOATS, INTEGERS, Tensor, check_shape, read_values
from app.schemas import SampleRequest, misfit
from app.settings import Settings
from app.tensors import as_images
from models.errors import ModelNotFoundError

VERSION = "1"  # of every model, and the only one
PLATFORM = "reparam_safetensors"

Tensors = list[Tensor]


class Answer(NamedTuple):
    """What a call made: tensors by name, and what is told beside them."""

    outputs: Outputs
    parameters: dict[str, Any]


class Function(NamedTuple):
    """A function of a model."""

    inputs: Callable[[Model], Tensors]
    outputs: Callable[[Model], Tensors]
    read: Callable[[Model, Settings, Request], Any]  # what `call` takes
    call: Callable[[Model, Any], Awaitable[Answer]]
    limit: str | None  # the setting that limits the rows of a request; None: there are no rows


class Served(NamedTuple):
    """A function of a model, by its own name."""

    model: Model
    kind: str

    @property
    def name(self) -> str:
        return f"{self.model.name}.{self.kind}"

    @property
    def function(self) -> Function:
        return FUNCTIONS[self.kind]

    @property
    def inputs(self) -> Tensors:
        return self.function.inputs(self.model)

    @property
    def outputs(self) -> Tensors:
        return self.function.outputs(self.model)

    def read(self, settings: Settings, request: Request) -> Any:
        """What `call` takes, from a request's inputs. Raises: MalformedError; ShapeError; InputError; LimitError."""
        inputs = {tensor.name: tensor for tensor in self.inputs}
        _check_names("inputs", list(request.inputs), list(inputs))
        missing = [name for name, tensor in inputs.items() if not tensor.optional and name not in request.inputs]
        if missing:
            raise MalformedError(f"inputs: expected {', '.join(missing)}, found {_list(list(request.inputs))}")
        if request.outputs:
            _check_names("outputs", [o.name for o in request.outputs], [tensor.name for tensor in self.outputs])
        return self.function.read(self.model, settings, request)

    async def call(self, value: Any) -> Answer:
        """The engine's answer to what `read` made. Raises: as the model's own method."""
        return await self.function.call(self.model, value)

    def metadata(self) -> dict[str, Any]:
        """What the protocol tells of a model."""
        return {
            "name": self.name,
            "versions": [VERSION],
            "platform": PLATFORM,
            "inputs": [_metadata(tensor) for tensor in self.inputs],
            "outputs": [_metadata(tensor) for tensor in self.outputs],
        }

    def configuration(self, settings: Settings) -> dict[str, Any]:
        """What Triton's extension tells of a model; where there are batches, the sizes leave out how many rows.

        Source: https://github.com/triton-inference-server/common, protobuf/model_config.proto.
        """
        limit = self.function.limit
        return {
            "name": self.name,
            "platform": PLATFORM,
            "backend": "reparam",
            "max_batch_size": getattr(settings, limit) if limit else 0,
            "input": [_configuration(tensor, limit) | {"optional": tensor.optional} for tensor in self.inputs],
            "output": [_configuration(tensor, limit) for tensor in self.outputs],
        }


def served(engine: Engine) -> list[Served]:
    """Every function of every model."""
    return [Served(model, kind) for model in engine.models.values() for kind in FUNCTIONS if kind in model.capabilities]


def find(engine: Engine, name: str, version: str = VERSION) -> Served:
    """The function of that name. Raises: ModelNotFoundError."""
    model, _, kind = name.rpartition(".")
    if model not in engine.models:
        raise ModelNotFoundError(
            f"model: expected MODEL.FUNCTION, a model of {', '.join(engine.models)} and a function of "
            f"{', '.join(FUNCTIONS)}, found {name!r:.80}"
        )
    own = [one for one in served(engine) if one.model.name == model]
    found = next((one for one in own if one.kind == kind), None)
    if found is None:
        raise ModelNotFoundError(f"model: expected one of {', '.join(one.name for one in own)}, found {name!r:.80}")
    if version != VERSION:
        raise ModelNotFoundError(f"version: expected {VERSION}, the only one of {name}, found {version!r:.80}")
    return found


def _metadata(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}


def _configuration(tensor: Tensor, limit: str | None) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "data_type": f"TYPE_{tensor.datatype}",
        "dims": tensor.shape[1:] if limit else tensor.shape,
    }


def _check_names(what: str, found: list[str], expected: list[str]) -> None:
    unknown = [name for name in found if name not in expected]
    if unknown:
        raise MalformedError(f"{what}: expected {' or '.join(expected)}, found {_list(unknown)}")
    if len(set(found)) != len(found):
        raise MalformedError(f"{what}: expected each once, found {_list(found)}")


def _list(names: list[str]) -> str:
    return ", ".join(names)[:200] or "none"


def _no_parameters(request: Request) -> None:
    if request.parameters:
        raise MalformedError(
            f"parameters: expected binary_data_output alone, found {_list(sorted(request.parameters))}"
        )


def _rows(tensor: Tensor, settings: Settings, limit: str, request: Request) -> Any:
    """The values of an input of N rows: at least one, and no more than the limit, which is checked before them."""
    found = request.inputs[tensor.name]
    check_shape(tensor, found)
    count, most = found.shape[0], getattr(settings, limit)
    if not count:
        raise MalformedError(f"{tensor.name}: expected at least one, found none")
    if count > most:
        raise LimitError(tensor.name, limit, most, count)
    return read_values(tensor, found)


def _images_in(model: Model) -> Tensors:
    # The shape that every function answers images in; what else is taken is a reshape of it.
    height, width = model.image_shape
    also = ((-1, 1, height, width), (-1, height * width))
    return [Tensor("images", "FP32", (-1, height, width), (*FLOATS, "UINT8"), also)]


def _images_out(model: Model) -> Tensors:
    return [Tensor("images", "FP32", (-1, *model.image_shape))]


def _latents_in(model: Model) -> Tensors:
    return [Tensor("latents", "FP32", (-1, model.latents), FLOATS)]


def _encode_out(model: Model) -> Tensors:
    names = ["mean", "variance"] if model.generative else ["mean"]
    return [Tensor(name, "FP32", (-1, model.latents)) for name in names]


def _score_out(model: Model) -> Tensors:
    names = ["elbo", "log_likelihood", "kl"] if model.generative else ["log_likelihood"]
    names += ["percentile"] if model.config.novelty else []
    return [Tensor(name, "FP32", (-1,)) for name in names]


def _sample_in(model: Model) -> Tensors:  # noqa: ARG001  as the others
    return [
        Tensor("count", "INT64", (1,), INTEGERS, optional=True),
        Tensor("seed", "INT64", (1,), INTEGERS, optional=True),
        Tensor("temperature", "FP32", (1,), FLOATS, optional=True),
    ]


def _sample_out(model: Model) -> Tensors:
    return [*_images_out(model), Tensor("latents", "FP32", (-1, model.latents)), Tensor("seed", "INT64", (1,))]


def _read_images(model: Model, settings: Settings, request: Request) -> Rows:
    """(N, H, W), of floats in 0..1, or of bytes."""
    _no_parameters(request)
    (tensor,) = _images_in(model)
    return as_images(_rows(tensor, settings, "max_images", request), model.image_shape)


def _read_latents(model: Model, settings: Settings, request: Request) -> Array:
    _no_parameters(request)
    (tensor,) = _latents_in(model)
    latents: Array = _rows(tensor, settings, "max_latents", request)
    return latents


def _read_sample(model: Model, settings: Settings, request: Request) -> SampleRequest:
    """From inputs, from parameters, or from some of each."""
    values = dict(request.parameters)
    for tensor in _sample_in(model):
        if tensor.name in request.inputs:
            if tensor.name in values:
                raise MalformedError(f"{tensor.name}: expected an input or a parameter, found both")
            found = request.inputs[tensor.name]
            check_shape(tensor, found)
            values[tensor.name] = read_values(tensor, found).item()
    try:
        wanted = SampleRequest.model_validate(values, extra="forbid")
    except ValidationError as error:
        raise MalformedError(misfit("sample", SampleRequest, error)) from error
    if wanted.count > settings.max_samples:
        raise LimitError("count", "max_samples", settings.max_samples, wanted.count)
    return wanted


async def _encode(model: Model, images: Rows) -> Answer:
    return _columns((await model.encode(images))._asdict())


async def _decode(model: Model, latents: Array) -> Answer:
    return Answer({"images": await model.decode(latents)}, {})


async def _reconstruct(model: Model, images: Rows) -> Answer:
    return Answer({"images": await model.reconstruct(images)}, {})


async def _score(model: Model, images: Rows) -> Answer:
    return _columns((await model.score(images))._asdict())


async def _sample(model: Model, wanted: SampleRequest) -> Answer:
    images, latents, seed = await model.sample(wanted.count, wanted.seed, wanted.temperature)
    outputs: Outputs = {"images": images, "latents": latents, "seed": np.array([seed], np.int64)}
    return Answer(outputs, {"seed": seed, "temperature": wanted.temperature})


def _columns(columns: dict[str, Array | None]) -> Answer:
    return Answer({name: values for name, values in columns.items() if values is not None}, {})


FUNCTIONS = {
    "encode": Function(_images_in, _encode_out, _read_images, _encode, "max_images"),
    "decode": Function(_latents_in, _images_out, _read_latents, _decode, "max_latents"),
    "reconstruct": Function(_images_in, _images_out, _read_images, _reconstruct, "max_images"),
    "score": Function(_images_in, _score_out, _read_images, _score, "max_images"),
    "sample": Function(_sample_in, _sample_out, _read_sample, _sample, None),
}
