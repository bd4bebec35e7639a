"""What runs an encoder fastest on one processor thread: python -m benchmarks.runtimes

Every way that is installed, in batches of several sizes; each way's answers are compared with the model's own first.
What is not installed, or cannot run the network, is said to be missing. The ways take turns.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

THREADS = 1
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):  # read when NumPy and torch are loaded
    os.environ[variable] = str(THREADS)

import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from app.compiled import Compiled  # noqa: E402
from benchmarks import bare  # noqa: E402
from benchmarks.calls import BenchmarkError  # noqa: E402
from models.checkpoint import load_checkpoint  # noqa: E402
from models.files import ZOO  # noqa: E402
from models.kinds import build  # noqa: E402
from models.networks import MLP, lay_out  # noqa: E402
from models.training import load_recipe  # noqa: E402

Array = npt.NDArray[np.float32]
Run = Callable[[Array], Array]  # images (N, 784) -> mean and log sigma (N, 2 Z)

MODELS = ("mnist-mlp", "mnist-conv")
BARE = "torch, eager, bare"  # without what models.networks does for speed
BATCHES = (1, 8, 32, 128)
RECIPES = Path(__file__).resolve().parent.parent / "models" / "recipes"


def eager(encoder: nn.Module) -> Run:
    lay_out(encoder)
    return _torch(encoder)


def contiguous(encoder: nn.Module) -> Run:
    """Weights in the order that the network's maps have, which spares a reordering of them in every call."""
    return _torch(encoder.to(memory_format=torch.channels_last))  # type: ignore[call-overload]


def bfloat16(encoder: nn.Module) -> Run:
    """Halved precision, as autocast chooses it."""

    def run(x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return encoder(x).float()  # type: ignore[no-any-return]

    return _torch(run)


def bfloat16_weights(encoder: nn.Module) -> Run:
    """Halved precision throughout, with nothing to cast."""
    half = encoder.to(torch.bfloat16)
    return _torch(lambda x: half(x.to(torch.bfloat16)).float())


def frozen(encoder: nn.Module) -> Run:
    """Traced, frozen and fused by TorchScript."""
    traced = torch.jit.trace(encoder, torch.zeros(8, 784))
    return _torch(torch.jit.optimize_for_inference(torch.jit.freeze(traced)))


def compiled(encoder: nn.Module) -> Run:
    """torch.compile, which needs a C++ compiler where the service starts."""
    return _torch(torch.compile(encoder, dynamic=True))


def aot_inductor(encoder: nn.Module) -> Run:
    """Compiled ahead of time to a shared library, which needs no compiler later."""
    import torch._inductor

    exported = torch.export.export(
        encoder, (torch.zeros(8, 784),), dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=4096)},)
    )
    with tempfile.NamedTemporaryFile(suffix=".pt2") as file:
        torch._inductor.aoti_compile_and_package(exported, package_path=file.name)
        return _torch(torch._inductor.aoti_load_package(file.name))


def numpy(encoder: nn.Module) -> Run:
    """Plain matrix products, of an MLP alone."""
    if not isinstance(encoder, MLP) or encoder.activation is not F.relu:
        raise NotImplementedError("the network is no MLP of rectified linear layers")
    weights = [(layer.weight.numpy(), layer.bias.numpy()) for layer in encoder.layers if isinstance(layer, nn.Linear)]

    def run(x: Array) -> Array:
        for weight, bias in weights[:-1]:
            x = x @ weight.T
            x += bias
            np.maximum(x, 0, out=x)
        last: Array = x @ weights[-1][0].T + weights[-1][1]
        return last

    return run


def onnx_runtime(encoder: nn.Module) -> Run:
    import onnxruntime
    import onnxscript  # noqa: F401  what torch's exporter needs

    exported = torch.onnx.export(
        encoder, (torch.zeros(8, 784),), dynamo=True, dynamic_shapes=({0: torch.export.Dim("batch")},), verbose=False
    )
    assert exported is not None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = THREADS
    model = exported.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: np.asarray(session.run(None, {name: x})[0])


def openvino(encoder: nn.Module) -> Run:
    return _torch(Compiled(encoder, 784, THREADS))


def openvino_bfloat16(encoder: nn.Module) -> Run:
    return _torch(Compiled(encoder, 784, THREADS, halved=True))


WAYS: dict[str, Callable[[nn.Module], Run]] = {
    "torch, eager": eager,
    BARE: eager,
    "torch, eager, channels last": contiguous,
    "torch, bfloat16 autocast": bfloat16,
    "torch, bfloat16 weights": bfloat16_weights,
    "torch, TorchScript, frozen": frozen,
    "torch.compile": compiled,
    "torch, AOTInductor": aot_inductor,
    "NumPy": numpy,
    "ONNX Runtime": onnx_runtime,
    "OpenVINO": openvino,
    "OpenVINO, bfloat16": openvino_bfloat16,
}


def _torch(function: Callable[[Tensor], Tensor]) -> Run:
    @torch.inference_mode()
    def run(x: Array) -> Array:
        return function(torch.from_numpy(x)).numpy()

    return run


def load_encoder(name: str) -> nn.Module:
    """The encoder of a shipped checkpoint, or an untrained one of its recipe, which costs the same."""
    if (ZOO / name / "config.json").exists():
        encoder = load_checkpoint(ZOO / name).model.encoder
    else:
        torch.manual_seed(0)
        encoder = build(load_recipe(RECIPES / f"{name}.toml").model).requires_grad_(False).eval().encoder
    assert isinstance(encoder, nn.Module)
    return encoder


def prepare(name: str, ways: list[str], images: Array) -> dict[str, Run]:
    """The ways that work, and on the way what each one's error is; those that do not are told, and why."""
    if not (ZOO / name / "config.json").exists():
        print(f"{name} is not shipped: an untrained encoder of its recipe stands in")
    expected = eager(load_encoder(name))(images)
    runs = {}
    for way in ways:
        began = time.perf_counter()
        try:
            run = WAYS[way](bare.load_encoder(ZOO / name) if way == BARE else load_encoder(name))
            error = float(np.abs(run(images) - expected).max())
        except Exception as reason:
            lines = str(reason).splitlines() or [type(reason).__name__]
            print(f"**skipped {way}**, for {name}: {type(reason).__name__}: {lines[0]:.150}")
            continue
        print(f"{way}, for {name}: made in {time.perf_counter() - began:.1f} s; largest error {error:.1e}")
        if not error < 0.1:
            raise BenchmarkError(f"{way}: expected the encoder's own answer, found {error:g} beside it")
        runs[way] = run
    return runs


def measure(runs: dict[str, Run], images: Array, seconds: float, rounds: int) -> dict[str, float]:
    """Microseconds a call, by way: the median of rounds in which the ways take turns."""
    times: dict[str, list[float]] = {way: [] for way in runs}
    for run in runs.values():
        run(images)
    for _ in range(rounds):
        for way, run in runs.items():
            calls, began = 0, time.perf_counter()
            while (passed := time.perf_counter() - began) < seconds:
                run(images)
                calls += 1
            times[way].append(1e6 * passed / calls)
    return {way: median(found) for way, found in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.runtimes", description="Compare runtimes of encoders.")
    parser.add_argument("--model", action="append", choices=MODELS, help="may be repeated (both)")
    parser.add_argument("--way", action="append", choices=WAYS, help="may be repeated (all)")
    parser.add_argument("--seconds", type=float, default=0.5, help="of each round (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="how many (%(default)s)")
    given = parser.parse_args()
    torch.set_num_threads(THREADS)
    images = np.random.default_rng(0).random((max(BATCHES), 784), dtype=np.float32)
    for name in given.model or MODELS:
        runs = prepare(name, given.way or list(WAYS), images)
        found = {batch: measure(runs, images[:batch], given.seconds, given.rounds) for batch in BATCHES}
        print(f"\n| {name}, {THREADS} thread: µs a call | " + " | ".join(f"batch {batch}" for batch in BATCHES) + " |")
        print("| --- |" + " ---: |" * len(BATCHES))
        for way in runs:
            print(f"| {way} | " + " | ".join(f"{found[batch][way]:,.0f}" for batch in BATCHES) + " |")
        print()


if __name__ == "__main__":
    main()
