"""Where the time of a request goes: its stages, each in seconds."""

from contextvars import ContextVar
from time import perf_counter
from types import TracebackType
from typing import Literal

Stage = Literal["read", "preprocess", "queue", "infer", "encode"]


# A stretch of time that a request spent in a stage: which, when it ended on the clock of `time.perf_counter`, and its
# seconds. A plain tuple, since every request makes several.
Spell = tuple[Stage, float, float]


_spells: ContextVar[list[Spell] | None] = ContextVar("spells", default=None)


def begin() -> list[Spell]:
    """Begin a request: the list that its spells will be in, those spent in its threads included."""
    spells: list[Spell] = []
    _spells.set(spells)
    return spells


def spend(name: Stage, seconds: float) -> None:
    """Note that the request has just spent so long in a stage; outside of a request nothing happens."""
    spells = _spells.get()
    if spells is not None:
        spells.append((name, perf_counter(), seconds))


def spent(name: Stage) -> float:
    """The seconds that the request has spent in a stage so far."""
    return sum(seconds for stage, _, seconds in _spells.get() or () if stage == name)


class _Timer:
    __slots__ = ("_began", "_name")

    def __init__(self, name: Stage) -> None:
        self._name = name

    def __enter__(self) -> None:
        self._began = perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if (spells := _spells.get()) is not None:
            end = perf_counter()
            spells.append((self._name, end, end - self._began))


def stage(name: Stage) -> _Timer:
    """Time what a request does in the `with` block, as one of its stages."""
    return _Timer(name)


def totals(spells: list[Spell]) -> dict[Stage, float]:
    """Seconds by stage, of those that the request went through, in the order in which it first did."""
    sums: dict[Stage, float] = {}
    for name, _, seconds in spells:
        sums[name] = sums.get(name, 0.0) + seconds
    return sums


def server_timing(sums: dict[Stage, float]) -> str:
    """The value of the header Server-Timing, in milliseconds. Source: W3C Server Timing."""
    return ", ".join([f"{name};dur={seconds * 1e3:.3f}" for name, seconds in sums.items()])
