"""Full load of mixed calls for long: does the memory stay, and is every answer as it should be."""

import base64
import json
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.calls import PNG, BenchmarkError, Call
from benchmarks.results import Result
from benchmarks.servers import reparam, resident_bytes
from benchmarks.wrk import CONNECTIONS, wrk
from models.checkpoint import read_config

MEMORY_TARGET = 1.02


def _calls(folder: Path, digit: bytes) -> list[Call]:
    """One of each; of those that are refused, each with a status of its own."""
    latents = read_config(folder).model.architecture["latents"]
    zero, one = np.zeros(latents).tolist(), np.ones(latents).tolist()
    encoded = base64.b64encode(digit).decode()
    return [
        Call("/v1/encode", digit, PNG),
        Call("/v1/encode", _json(images=[encoded])),
        Call("/v1/decode", _json(latents=[zero])),
        Call("/v1/sample", _json(count=4)),
        Call("/v1/reconstruct", digit, PNG),
        Call("/v1/score", digit, PNG),
        Call("/v1/interpolate?steps=4", _json(latents=[zero, one])),
        Call("/v1/encode?model=nobody", digit, PNG, status=404),
        Call("/v1/encode", digit, PNG, accept="text/html", status=406),
        Call("/v1/encode", digit, "text/plain", status=415),
        Call("/v1/encode", digit[:100], PNG, status=422),
    ]


def _json(**members: object) -> bytes:
    return json.dumps(members).encode()


def soak(folder: Path, digit: bytes, minutes: float, workers: int, environment: dict[str, str]) -> list[Result]:
    """Raises: BenchmarkError: if a call is not answered as it should be even once."""
    calls = _calls(folder, digit)
    seconds = max(3, round(60 * minutes))
    resident: list[float] = []
    with reparam(folder, workers=workers, **environment) as server:
        for call in calls:
            call.send(server.url)

        began = time.monotonic()

        def sample() -> None:
            resident.append(resident_bytes(server.workers) / 2**20)
            if len(resident) % 60 == 0:
                minute = (time.monotonic() - began) / 60
                print(f"soak: minute {minute:.0f} of {minutes:g}, {resident[-1]:,.0f} MiB", file=sys.stderr)

        load = wrk(server.url, calls, seconds, sample)
    third = len(resident) // 3
    if not third:
        raise BenchmarkError(f"soak: expected at least three samples of the memory, found {len(resident)}")
    middle, last = resident[third : 2 * third], resident[-third:]
    wrong = _wrong(calls, load.statuses, load.requests) + sum(load.errors.values())
    print(f"soak: answers by status {load.statuses}, errors of sockets {load.errors}", file=sys.stderr)
    return [
        Result(
            f"soak, {load.requests:,} mixed calls at {load.rate:,.0f}/s: the workers' memory, last third over middle",
            [float(np.mean(last))],
            [float(np.mean(middle))],
            "MiB",
            MEMORY_TARGET,
            at_most=True,
        ),
        Result(
            "soak: calls that were answered otherwise than they should be, or not, of all",
            [wrong],
            [load.requests],
            "calls",
            0,
            at_most=True,
        ),
    ]


def _wrong(calls: list[Call], statuses: dict[str, int], total: int) -> int:
    """How many answers have a status that they should not have.

    The calls go out in turn, and so each has had its share of the answers, but for those under way on a connection.
    """
    wrong = 0
    for status in {int(code) for code in statuses} | {call.status for call in calls}:
        share = total * sum(call.status == status for call in calls) / len(calls)
        beyond = abs(statuses.get(str(status), 0) - share) - (CONNECTIONS if share else 0)
        wrong += max(0, round(beyond))
    return wrong
