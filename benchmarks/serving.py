"""How `reparam serve` compares with what one would write without it, in one run: python -m benchmarks.serving --help

The contenders take turns, round by round, and the median of the rounds' ratios counts, since a machine is never quite
idle. Each one's answer is compared with the model's own before it is timed. Needs Linux, and wrk (Debian: wrk).
"""

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import torch

from app.compiled import has_bfloat16
from benchmarks.answers import HALVED_TOLERANCE, TOLERANCE, check, directly, from_json
from benchmarks.bulk import bulk
from benchmarks.calls import MULTIPART, PNG, BenchmarkError, Call, form
from benchmarks.results import Result, table
from benchmarks.servers import ROOT, Server, reparam, uvicorn
from benchmarks.soak import soak
from benchmarks.steady import steady
from benchmarks.wrk import CONNECTIONS, find_wrk, full_load
from models.checkpoint import save_checkpoint
from models.files import ZOO
from models.kinds import build
from models.training import load_recipe

WORKERS = 2
WARM_S = 2
MLP, CONV = "mnist-mlp", "mnist-conv"
TEXTBOOK_TARGETS = {MLP: 2.8, CONV: 6.0}
CEILING_TARGET = 0.75
TAIL_TARGET, LONGEST_MS = 10.0, 50.0


@dataclass(frozen=True)
class Bench:
    """What every part needs to know."""

    seconds: int  # of each round
    rounds: int
    latency_seconds: int
    soak_minutes: float
    environment: dict[str, str]  # of our server
    scratch: Path
    digit: bytes = field(default_factory=(ROOT / "app" / "web" / "seven.png").read_bytes)

    def checkpoint(self, name: str) -> Path:
        """The shipped checkpoint of that name, or an untrained one that costs as much to run."""
        if (ZOO / name / "config.json").exists():
            return ZOO / name
        folder = self.scratch / name
        if not folder.exists():
            say(f"{name} is not shipped: an untrained checkpoint of its recipe stands in")
            recipe = load_recipe(ROOT / "models" / "recipes" / f"{name}.toml")
            torch.manual_seed(0)
            save_checkpoint(folder, name, recipe.model, build(recipe.model).state_dict(), {}, {})
        return folder


@dataclass(frozen=True)
class Contender:
    """A service, and the call that makes it encode the digit."""

    name: str
    server: Server
    call: Call
    tolerance: float = TOLERANCE  # of its answer

    def answer(self) -> bytes:
        return self.call.send(self.server.url)


def say(line: str) -> None:
    """Progress, apart from the results."""
    print(line, file=sys.stderr, flush=True)


def encode(bench: Bench, name: str, *, ceiling: bool = False, openvino: bool = False) -> list[Result]:
    """Requests a second of one digit each, against the textbook service; at wish against the ceiling too, and with
    OpenVINO in place of torch, if it is installed.
    """
    folder = bench.checkpoint(name)
    expected = directly(folder, bench.digit)
    raw, multipart = (bench.digit, PNG), (form("file", bench.digit), MULTIPART)
    with ExitStack() as servers:

        def ours(**environment: str) -> Server:
            return servers.enter_context(reparam(folder, workers=WORKERS, **bench.environment | environment))

        us = Contender("reparam", ours(), Call("/v1/encode", *raw))
        server = servers.enter_context(uvicorn("benchmarks.textbook:app", WORKERS, CHECKPOINT=str(folder)))
        textbook = Contender("the textbook service", server, Call("/encode", *multipart))
        pairs = [(us, textbook, TEXTBOOK_TARGETS[name])]
        if ceiling:
            answer = bench.scratch / "answer.json"
            answer.write_bytes(us.answer())
            server = servers.enter_context(uvicorn("benchmarks.ceiling:app", WORKERS, ANSWER=str(answer)))
            pairs.append((us, Contender("the ceiling", server, Call("/encode", *raw)), CEILING_TARGET))
        if openvino and find_spec("openvino"):
            by_openvino = Contender("reparam by OpenVINO", ours(REPARAM_RUNTIME="openvino"), us.call)
            pairs.append((by_openvino, textbook, TEXTBOOK_TARGETS[name]))
            if has_bfloat16():
                server = ours(REPARAM_RUNTIME="openvino-bfloat16")
                halved = Contender("reparam by OpenVINO in bfloat16", server, us.call, HALVED_TOLERANCE)
                pairs.append((halved, textbook, TEXTBOOK_TARGETS[name]))
            else:
                say("the processor has no bfloat16, which is not measured")
        elif openvino:
            say("OpenVINO is not installed, and not measured")
        contenders = list({contender.name: contender for pair in pairs for contender in pair[:2]}.values())
        for contender in contenders:
            check(contender.name, from_json(contender.answer()), expected, contender.tolerance)
        rates = take_turns(contenders, bench.rounds, bench.seconds)
    return [
        Result(
            f"encode, {name}: {one.name} against {other.name}", rates[one.name], rates[other.name], "requests/s", target
        )
        for one, other, target in pairs
    ]


def take_turns(contenders: list[Contender], rounds: int, seconds: int) -> dict[str, list[float]]:
    """Requests a second, of each contender by name, round by round."""
    for contender in contenders:
        full_load(contender.server.url, contender.call, min(WARM_S, seconds))
    rates: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for number in range(rounds):
        for contender in contenders:
            load = full_load(contender.server.url, contender.call, seconds)
            rates[contender.name].append(load.rate)
            say(
                f"round {number + 1} of {rounds}: {contender.name}: {load.rate:,.0f} requests/s, "
                f"p50 {load.p50_ms:.2f} ms, p99 {load.p99_ms:.2f} ms"
            )
    return rates


def latency(bench: Bench) -> list[Result]:
    """At half of the largest load, sent at a constant rate."""
    folder = bench.checkpoint(MLP)
    call = Call("/v1/encode", bench.digit, PNG)
    with reparam(folder, workers=WORKERS, **bench.environment) as server:
        check("reparam", from_json(call.send(server.url)), directly(folder, bench.digit))
        full_load(server.url, call, min(WARM_S, bench.seconds))
        half = full_load(server.url, call, bench.seconds).rate / 2
        found = steady(server.url, call, half, bench.latency_seconds, warm_up_s=WARM_S)
    say(f"the load generator itself was late by {found.late_p99_ms:.2f} ms at the 99th percentile")
    what = f"{half:,.0f} requests/s, half of the maximum, for {bench.latency_seconds} s"
    return [
        Result(f"{what}: p99 over p50", [found.p99_ms], [found.p50_ms], "ms", TAIL_TARGET, at_most=True),
        Result(f"{what}: the longest, against the limit", [found.max_ms], [LONGEST_MS], "ms", 1, at_most=True),
    ]


def many(bench: Bench) -> list[Result]:
    """Thousands of images in one request."""
    folders = map(bench.checkpoint, (MLP, CONV))
    return [
        result
        for folder in folders
        for result in bulk(folder, bench.digit, bench.rounds, bench.seconds, bench.environment)
    ]


PARTS: dict[str, Callable[[Bench], list[Result]]] = {
    "mlp": lambda bench: encode(bench, MLP, ceiling=True),
    "conv": lambda bench: encode(bench, CONV, openvino=True),
    "bulk": many,
    "latency": latency,
    "soak": lambda bench: soak(bench.checkpoint(MLP), bench.digit, bench.soak_minutes, WORKERS, bench.environment),
}


def machine() -> str:
    """What the figures were measured on."""
    names = {line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")}
    return (
        f"{', '.join(names) or platform.machine()}, {os.cpu_count()} cores; Python {platform.python_version()}, "
        f"torch {torch.__version__}, reparam {version('reparam')}; {time.strftime('%Y-%m-%d')}; "
        f"load average before: {os.getloadavg()[0]:.2f}"
    )


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.startswith("REPARAM_"):
        raise argparse.ArgumentTypeError(f"expected REPARAM_NAME=VALUE, found {text!r}")
    return name, value


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--only", action="append", choices=PARTS, help="a part; may be repeated (all)")
    parser.add_argument("--seconds", type=int, default=5, help="of each round of each contender (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="how many (%(default)s)")
    parser.add_argument("--latency-seconds", type=int, default=60, help="of the constant load (%(default)s)")
    parser.add_argument("--soak-minutes", type=float, default=30, help="of the mixed load (%(default)s)")
    parser.add_argument("--out", type=Path, help="a file for the figures as JSON, round by round")
    parser.add_argument(
        "--set", type=_setting, action="append", default=[], metavar="REPARAM_NAME=VALUE", help="a setting of ours"
    )
    given = parser.parse_args()
    if min(given.seconds, given.rounds, given.latency_seconds) < 1 or given.soak_minutes <= 0:
        parser.error("expected seconds, rounds and minutes above 0")
    return given


def main() -> None:
    given = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that what was started is stopped
    try:
        find_wrk()
    except BenchmarkError as error:
        sys.exit(str(error))
    about = machine()
    results: list[Result] = []
    failures: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(
            given.seconds, given.rounds, given.latency_seconds, given.soak_minutes, dict(given.set), Path(scratch)
        )
        for name in given.only or PARTS:
            say(f"== {name}")
            try:
                results += PARTS[name](bench)
            except BenchmarkError as error:
                failures[name] = str(error)
                say(f"{name}: {error}")
            except KeyboardInterrupt:
                failures[name] = "interrupted"
                break
    print(f"{about}; {WORKERS} workers, {CONNECTIONS} connections, median of {given.rounds} rounds\n")
    print(table(results))
    for name, reason in failures.items():
        print(f"\n**{name} could not be measured**: {reason}")
    if given.out:
        document = {
            "machine": about,
            "options": {key: value for key, value in vars(given).items() if key != "out"},
            "results": [result.document() for result in results],
            "failures": failures,
        }
        given.out.write_text(json.dumps(document, indent=2) + "\n")
    sys.exit(bool(failures) or not all(result.met for result in results))


if __name__ == "__main__":
    main()
