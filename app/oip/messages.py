"""The request and the response of an inference: a JSON object, and after it the tensors that come as bytes."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from app.errors import MalformedError
from app.json_bodies import dump_object, in_pieces, load_object
from app.numbers import kind_of
from app.oip.tensors import DTYPES, Input, Tensor

Outputs = dict[str, npt.NDArray[Any]]

UNSUPPORTED = {
    "shared_memory_region": "shared memory is not supported; send the data as binary or JSON",
    "classification": "classification is not supported; no output is a list of classes",
    "sequence_id": "sequences are not supported; no model keeps a state between requests",
}
# Of a request: hints that a server need not follow, and what others put there for each other.
IGNORED = {"priority", "timeout", "headers", "content_type", "sequence_start", "sequence_end"}


class Output(NamedTuple):
    """An output that a request asks for, and whether as bytes."""

    name: str
    binary: bool


class Request(NamedTuple):
    """An inference request."""

    id: str | None
    parameters: dict[str, Any]
    inputs: dict[str, Input]
    outputs: list[Output] | None  # None: all
    binary: bool  # whether outputs are bytes where the request does not say


def parse(
    body: bytes | bytearray, max_json_bytes: int, header_length: str | None = None, tensors: Sequence[Tensor] = ()
) -> Request:
    """An inference request from a body.

    Args:
        max_json_bytes: of the largest body, as `load_object` has it.
        header_length: how many bytes the JSON object takes, the header Inference-Header-Content-Length; None: all. 0:
            there is none, and the body is the one input's bytes.
        tensors: the inputs that the function takes.
    Raises: MalformedError. LimitError: if it has too many values.
    """
    length = _header_length(header_length, len(body))
    if length == 0 and header_length is not None:
        return _raw(body, tensors)
    document = load_object(body, max_json_bytes, length)
    parameters = _parameters("", document)
    for name, why in UNSUPPORTED.items():
        if parameters.get(name):
            raise MalformedError(f"parameters: {name}: {why}")
    rest = _Rest(memoryview(body)[length:])
    inputs: dict[str, Input] = {}
    for i, member in enumerate(_list("inputs", document.get("inputs", []))):
        found = _input(f"inputs[{i}]", member, rest)
        if found.name in inputs:
            raise MalformedError(f"inputs: expected each once, found {found.name!r:.80} twice")
        inputs[found.name] = found
    rest.check_empty()
    binary = _flag("parameters: binary_data_output", parameters.pop("binary_data_output", False))
    listed = _list("outputs", document.get("outputs") or [])
    outputs = [_output(f"outputs[{i}]", member, binary) for i, member in enumerate(listed)]
    number = document.get("id")
    if number is not None and not isinstance(number, str):
        raise MalformedError(f"id: expected text, found {kind_of(number)}")
    return Request(number, _known(parameters), inputs, outputs or None, binary)


def read_ready(body: bytes | bytearray, max_json_bytes: int) -> bool:
    """Whether a request for the index asks for the ready models alone. Raises: MalformedError; LimitError."""
    if not body:
        return False
    return _flag("ready", load_object(body, max_json_bytes).get("ready", False))


def respond(
    name: str, version: str, request: Request, outputs: Outputs, parameters: dict[str, Any]
) -> tuple[bytes, int | None]:
    """The body of a response, and how many bytes of it are the JSON object where others follow."""
    wanted = request.outputs or [Output(name, request.binary) for name in outputs]
    described, buffers = [], []
    for output in wanted:
        values = np.ascontiguousarray(outputs[output.name])
        datatype = next(datatype for datatype, dtype in DTYPES.items() if dtype == values.dtype)
        tensor: dict[str, Any] = {"name": output.name, "datatype": datatype, "shape": values.shape}
        if output.binary:
            buffers.append(values.astype(DTYPES[datatype], copy=False).tobytes())
            tensor["parameters"] = {"binary_data_size": len(buffers[-1])}
        else:
            tensor["data"] = in_pieces(values.ravel())
        described.append(tensor)
    head = {} if request.id is None else {"id": request.id}
    document = head | {"model_name": name, "model_version": version, "parameters": parameters, "outputs": described}
    header = dump_object(document)
    return b"".join((header, *buffers)), len(header) if buffers else None


class _Rest:
    """What follows the JSON object: taken piece by piece, to the last byte."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._taken = 0

    def take(self, name: str, size: object) -> memoryview:
        if type(size) is not int or size < 0:
            raise MalformedError(f"{name}: binary_data_size: expected a number of bytes, found {size!r:.80}")
        left = len(self._data) - self._taken
        if size > left:
            raise MalformedError(
                f"{name}: binary_data_size: expected at most the {left} bytes that are left after the JSON object, "
                f"whose length is the header Inference-Header-Content-Length, found {size}"
            )
        self._taken += size
        return self._data[self._taken - size : self._taken]

    def check_empty(self) -> None:
        if self._taken != len(self._data):
            raise MalformedError(
                f"body: expected {self._taken} bytes after the JSON object, as binary_data_size of the inputs say, "
                f"found {len(self._data)}"
            )


def _header_length(text: str | None, size: int) -> int:
    if text is None:
        return size
    if not (text.isascii() and text.isdecimal()) or len(text) > 18 or int(text) > size:
        raise MalformedError(
            f"Inference-Header-Content-Length: expected a number of bytes, at most the {size} of the body, found "
            f"{text!r:.80}"
        )
    return int(text)


def _raw(body: bytes | bytearray, tensors: Sequence[Tensor]) -> Request:
    needed = [tensor for tensor in tensors if not tensor.optional]
    if len(needed) != 1:
        raise MalformedError(
            "Inference-Header-Content-Length: expected more than 0: no input of this model is required"
        )
    (tensor,) = needed
    _, *row = tensor.shape
    width = int(np.prod(row)) * DTYPES[tensor.datatype].itemsize
    if not body or len(body) % width:
        raise MalformedError(f"body: expected {tensor.datatype} bytes, {width} for each row, found {len(body)}")
    found = Input(tensor.name, tensor.datatype, (len(body) // width, *row), memoryview(body))
    return Request(None, {}, {tensor.name: found}, None, False)


def _input(where: str, member: object, rest: _Rest) -> Input:
    document = _object(where, member)
    name = _text(f"{where}: name", document.get("name"))
    parameters = _parameters(f"{name:.80}: ", document)
    datatype = _text(f"{name:.80}: datatype", document.get("datatype"))
    shape = document.get("shape")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        shown = str(shape)[:80] if isinstance(shape, list) else kind_of(shape)
        raise MalformedError(f"{name:.80}: shape: expected a list of whole numbers from 0, found {shown}")
    if "binary_data_size" in parameters:
        if document.get("data") is not None:
            raise MalformedError(f"{name:.80}: expected data or binary_data_size, found both")
        return Input(name, datatype, tuple(shape), rest.take(name[:80], parameters["binary_data_size"]))
    if "data" not in document:
        raise MalformedError(f"{name:.80}: expected data, or a binary_data_size among its parameters, found neither")
    return Input(name, datatype, tuple(shape), _list(f"{name:.80}: data", document["data"]))


def _output(where: str, member: object, binary: bool) -> Output:
    document = _object(where, member)
    name = _text(f"{where}: name", document.get("name"))
    parameters = _parameters(f"{name:.80}: ", document)
    return Output(name, _flag(f"{name:.80}: binary_data", parameters.get("binary_data", binary)))


def _parameters(where: str, document: dict[str, Any]) -> dict[str, Any]:
    parameters = _object(f"{where}parameters", document.get("parameters") or {})
    for name in ("shared_memory_region", "classification"):
        if name in parameters:
            raise MalformedError(f"{where}{name}: {UNSUPPORTED[name]}")
    return parameters


def _known(parameters: dict[str, Any]) -> dict[str, Any]:
    """Those that this server may know."""
    return {
        k: v for k, v in parameters.items() if k not in IGNORED | UNSUPPORTED.keys() and not k.startswith("triton_")
    }


def _object(where: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MalformedError(f"{where}: expected a JSON object, found {kind_of(value)}")
    return value


def _list(where: str, value: object) -> list[Any]:
    if not isinstance(value, list):
        raise MalformedError(f"{where}: expected a list, found {kind_of(value)}")
    return value


def _text(where: str, value: object) -> str:
    if not isinstance(value, str):
        raise MalformedError(f"{where}: expected text, found {kind_of(value)}")
    return value


def _flag(where: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise MalformedError(f"{where}: expected true or false, found {kind_of(value)}")
    return value
