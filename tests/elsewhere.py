"""A second device for machines that have none: it computes on the CPU, and refuses what a GPU refuses.

Inside `with Elsewhere():` a tensor on `ELSEWHERE` can be computed with others there alone, and a generator of the CPU
draws nothing there. It goes by the name of torch's device without memory, for which torch needs no driver.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, Self
from unittest.mock import patch

import torch
from torch import Tensor, as_tensor, autocast
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

CPU, ELSEWHERE = torch.device("cpu"), torch.device("meta", 0)
COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)  # the ways from one device to another


class There(Tensor):
    """A tensor on the device; `here` has its numbers."""

    here: Tensor

    @staticmethod
    def __new__(cls, here: Tensor) -> "There":
        there: There = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            here.shape,
            strides=here.stride(),
            storage_offset=here.storage_offset(),
            dtype=here.dtype,
            device=ELSEWHERE,
        )
        there.here = here
        return there

    @classmethod
    def __torch_dispatch__(
        cls, function: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return _run(function, args, kwargs or {})


class Elsewhere(TorchDispatchMode):
    """Where tensors can be made on the device, or moved there."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for name, replacement in _AS_ON_A_GPU.items():
                stack.enter_context(patch(name, replacement))
            self.patches = stack.pop_all()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self.patches.close()

    def __torch_dispatch__(
        self, function: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return _run(function, args, kwargs or {})


def _autocast(device_type: str, *arguments: Any, **options: Any) -> autocast:
    return autocast("cpu" if device_type == ELSEWHERE.type else device_type, *arguments, **options)


def _tensor(data: Any, dtype: torch.dtype | None = None, device: torch.device | None = None) -> Tensor:
    if isinstance(data, Tensor):
        return data.to(device or data.device, dtype or data.dtype)
    if device == ELSEWHERE:
        return as_tensor(data, dtype=dtype, device=CPU).to(device)
    return as_tensor(data, dtype=dtype, device=device)


# What torch does on a GPU, and not without memory.
_AS_ON_A_GPU: dict[str, Any] = {
    "torch.autocast": _autocast,
    "torch._C._InferenceMode": lambda wanted: torch.set_grad_enabled(torch.is_grad_enabled() and not wanted),
    "torch.tensor": _tensor,
    "torch.as_tensor": _tensor,
    "torch.optim.optimizer._get_fused_kernels_supported_devices": lambda: ["cpu", ELSEWHERE.type],
}


def _run(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    tensors = [given for given in tree_leaves((args, kwargs)) if isinstance(given, Tensor)]
    there = [tensor for tensor in tensors if isinstance(tensor, There)]
    if there and function not in COPIES and any(not isinstance(tensor, There) and tensor.ndim for tensor in tensors):
        raise RuntimeError(f"{function}: expected all tensors to be on the same device")
    ends_there = isinstance(args[0], There) if function is torch.ops.aten.copy_.default else bool(there)
    for device in (leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.device)):
        ends_there = device == ELSEWHERE
    if ends_there and kwargs.get("generator") is not None:
        raise RuntimeError(f"{function}: expected a generator of the device, found one of the CPU")
    args, kwargs = tree_map_only(There, lambda tensor: tensor.here, (args, kwargs))
    args, kwargs = tree_map_only(torch.device, lambda device: CPU if device == ELSEWHERE else device, (args, kwargs))
    result = function(*args, **kwargs)
    if not ends_there:
        return result
    written = {id(tensor.here): tensor for tensor in there}  # in place
    return tree_map_only(Tensor, lambda tensor: written[id(tensor)] if id(tensor) in written else There(tensor), result)
