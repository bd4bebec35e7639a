"""The protocol's JSON, for the OpenAPI schema."""

from typing import Any

from pydantic import BaseModel, Field


class ServerMetadata(BaseModel):
    """The server."""

    name: str
    version: str
    extensions: list[str]


class Live(BaseModel):
    live: bool


class ServerReady(BaseModel):
    ready: bool


class ModelReady(BaseModel):
    name: str
    ready: bool


class TensorMetadata(BaseModel):
    """A tensor; -1 is any size."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """A function of a model."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ConfiguredTensor(BaseModel):
    """A tensor; where there are batches `dims` leaves out how many rows."""

    name: str
    data_type: str
    dims: list[int]
    optional: bool | None = None


class ModelConfiguration(BaseModel):
    """A function of a model, as Triton configures it."""

    name: str
    platform: str
    backend: str
    max_batch_size: int = Field(description="0: the function takes no batch")
    input: list[ConfiguredTensor]
    output: list[ConfiguredTensor]


class InferInput(BaseModel):
    """An input; `data` is in a row or nested, or left out, with a `binary_data_size` among the parameters."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any] = {}
    data: list[Any] | None = None


class InferRequestedOutput(BaseModel):
    name: str
    parameters: dict[str, Any] = {}


class InferRequest(BaseModel):
    """What to infer."""

    id: str | None = None
    parameters: dict[str, Any] = {}
    inputs: list[InferInput] = []
    outputs: list[InferRequestedOutput] = Field([], description="none: all of them")


class InferOutput(BaseModel):
    """An output; `data` is in a row, row by row."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any] | None = None
    data: list[Any] | None = None


class InferResponse(BaseModel):
    """What was inferred."""

    id: str | None = None
    model_name: str
    model_version: str
    parameters: dict[str, Any]
    outputs: list[InferOutput]


class IndexRequest(BaseModel):
    ready: bool = Field(False, description="whether to list the ready ones alone")


class IndexedModel(BaseModel):
    name: str
    version: str
    state: str
    reason: str


class ModelStatistics(BaseModel):
    """What a function did since the start, in all workers."""

    name: str
    version: str
    last_inference: int = Field(description="milliseconds since the epoch")
    inference_count: int = Field(description="rows")
    execution_count: int
    inference_stats: dict[str, Any]
    batch_stats: list[dict[str, Any]]


class AllStatistics(BaseModel):
    model_stats: list[ModelStatistics]


class Error(BaseModel):
    """Why a call failed."""

    error: str = Field(description="what was expected and what was found")
