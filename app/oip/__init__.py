"""The Open Inference Protocol, version 2, with Triton's extensions: from its messages to arrays and back. No HTTP.

Source: https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md;
https://github.com/triton-inference-server/server, docs/protocol.
"""

from app.oip.functions import FUNCTIONS, VERSION, Answer, Served, find, served
from app.oip.messages import Request, parse, read_ready, respond
from app.oip.statistics import Statistics, Took
from app.oip.tensors import Tensor

__all__ = [
    "FUNCTIONS",
    "VERSION",
    "Answer",
    "Request",
    "Served",
    "Statistics",
    "Tensor",
    "Took",
    "find",
    "parse",
    "read_ready",
    "respond",
    "served",
]
