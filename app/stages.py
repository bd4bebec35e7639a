"""Where the time of a request goes: its stages, each in seconds."""

from contextvars import ContextVar
from time import perf_counter
from types import TracebackType
from typing import Literal

Stage = Literal["read", "preprocess", "queue", "infer", "encode"]


# A stretch of time that a request spent in a stage: which, when it ended on the clock of `time.perf_counter`, and its
# seconds. A plain tuple, since every request makes several.
Timing = tuple[Stage, float, float]


_timings: ContextVar[list[Timing] | None] = ContextVar("timings", default=None)


def begin() -> list[Timing]:
    """Begin a request: the list that its timings will be in, those of its threads included."""
    timings: list[Timing] = []
    _timings.set(timings)
    return timings


def record(name: Stage, seconds: float) -> None:
    """Note that the request has just spent so long in a stage; outside of a request nothing happens."""
    timings = _timings.get()
    if timings is not None:
        timings.append((name, perf_counter(), seconds))


def seconds_in(name: Stage) -> float:
    """The seconds that the request has spent in a stage so far."""
    return sum(seconds for stage, _, seconds in _timings.get() or () if stage == name)


class _Timer:
    __slots__ = ("_began", "_name")

    def __init__(self, name: Stage) -> None:
        self._name = name

    def __enter__(self) -> None:
        self._began = perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if (timings := _timings.get()) is not None:
            end = perf_counter()
            timings.append((self._name, end, end - self._began))


def stage(name: Stage) -> _Timer:
    """Time what a request does in the `with` block, as one of its stages."""
    return _Timer(name)


def totals(timings: list[Timing]) -> dict[Stage, float]:
    """Seconds by stage, of those that the request went through, in the order in which it first did."""
    sums: dict[Stage, float] = {}
    for name, _, seconds in timings:
        sums[name] = sums.get(name, 0.0) + seconds
    return sums


def server_timing(sums: dict[Stage, float]) -> str:
    """The value of the header Server-Timing, in milliseconds. Source: W3C Server Timing."""
    return ", ".join([f"{name};dur={seconds * 1e3:.3f}" for name, seconds in sums.items()])
