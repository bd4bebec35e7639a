"""Networks that OpenVINO compiles for the processor, in place of torch's layers."""

import warnings

import torch
from torch import Tensor, nn


def has_bfloat16() -> bool:
    """Whether the processor does, as OpenVINO sees it."""
    from openvino import Core

    return "BF16" in Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class Compiled(nn.Module):
    """What a network computes of rows, to rounding, for one thread at a time; its weights are a copy.

    Args:
        network: (N, inputs) -> (N, outputs), of weights that stay as they are.
        threads: of the CPU.
        halved: whether products are rounded to bfloat16, where the processor has it.
    """

    def __init__(self, network: nn.Module, inputs: int, threads: int, *, halved: bool = False) -> None:
        super().__init__()
        from openvino import Core, PartialShape
        from openvino.frontend import FrontEndManager
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

        with warnings.catch_warnings(action="ignore"):  # torch's, of how OpenVINO reads a network
            traced = torch.jit.trace(network, torch.zeros(2, inputs), check_trace=False)
        # Not by openvino.convert_model, which tells OpenVINO's makers of it.
        reader = FrontEndManager().load_by_framework("pytorch")
        decoder = TorchScriptPythonDecoder(traced, shared_memory=False)
        graph = reader.convert(reader.load(decoder))
        graph.reshape(PartialShape([-1, inputs]))
        options = {
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "bf16" if halved else "f32",  # left out, it would round where it can
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # else every worker takes the same core
        }
        self._request = Core().compile_model(graph, "CPU", options).create_infer_request()

    def forward(self, rows: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        flat = rows.reshape(-1, rows.shape[-1]).contiguous()
        (found,) = self._request.infer([flat.numpy()], share_inputs=True).values()
        return torch.from_numpy(found).reshape(*rows.shape[:-1], -1)
