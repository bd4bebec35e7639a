"""What was inferred since the start, by all workers together: Triton's statistics extension.

Source: https://github.com/triton-inference-server/server, docs/protocol/extension_statistics.md.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import orjson

MAX_EXACT = 64  # rows; larger requests are counted with those of up to the next power of two


class Took(NamedTuple):
    """The nanoseconds of a request: reading its tensors, waiting for the engine, the engine's call, the response."""

    read: int
    queue: int
    infer: int
    respond: int


@dataclass
class _Sums:
    """Of the requests of one size that were answered."""

    count: int = 0
    rows: int = 0
    read: int = 0
    queue: int = 0
    infer: int = 0
    respond: int = 0

    def add(self, other: "_Sums") -> None:
        self.count += other.count
        self.rows += other.rows
        self.read += other.read
        self.queue += other.queue
        self.infer += other.infer
        self.respond += other.respond

    def compute(self) -> dict[str, Any]:
        parts = {"compute_input": self.read, "compute_infer": self.infer, "compute_output": self.respond}
        return {name: {"count": self.count, "ns": ns} for name, ns in parts.items()}


@dataclass
class _One:
    """Of one function of a model."""

    last_ms: int = 0
    failed: int = 0
    failed_ns: int = 0
    sizes: defaultdict[int, _Sums] = field(default_factory=lambda: defaultdict(_Sums))  # by the rows of a request

    def add(self, other: "_One") -> None:
        self.last_ms = max(self.last_ms, other.last_ms)
        self.failed += other.failed
        self.failed_ns += other.failed_ns
        for size, sums in other.sizes.items():
            self.sizes[size].add(sums)

    def document(self) -> dict[str, Any]:
        every = _Sums()
        for sums in self.sizes.values():
            every.add(sums)
        none = {"count": 0, "ns": 0}  # nothing is cached
        inference = {
            "success": {"count": every.count, "ns": every.read + every.queue + every.infer + every.respond},
            "fail": {"count": self.failed, "ns": self.failed_ns},
            "queue": {"count": every.count, "ns": every.queue},
        }
        return {
            "last_inference": self.last_ms,
            "inference_count": every.rows,
            "execution_count": every.count,
            "inference_stats": inference | every.compute() | {"cache_hit": none, "cache_miss": none},
            "batch_stats": [{"batch_size": size} | self.sizes[size].compute() for size in sorted(self.sizes)],
        }


class Statistics:
    """Of every function, by its name; counted on the event loop alone.

    Args:
        folder: where the workers of a service share what they count, a file each; None: there is one process.
        worker: whose file it is; it counts on where another of that name ended.
    """

    def __init__(self, folder: str | None = None, worker: str = "") -> None:
        self._own: defaultdict[str, _One] = defaultdict(_One)
        self._folder = Path(folder) if folder else None
        self._file = f"statistics-{worker}.json"
        self._changed = False
        if self._folder:
            with suppress(FileNotFoundError):
                self._own |= _load(self._folder / self._file)

    def succeed(self, name: str, rows: int, took: Took) -> None:
        """A request was answered, of as many rows: images, latents, or images drawn."""
        size = rows if rows <= MAX_EXACT else 1 << (rows - 1).bit_length()
        self._noted(name).sizes[size].add(_Sums(1, rows, *took))

    def fail(self, name: str, ns: int) -> None:
        """A request failed."""
        one = self._noted(name)
        one.failed += 1
        one.failed_ns += ns

    def flush(self) -> None:
        """Let the other workers see what was counted. Raises: OSError: if it cannot be written; it is kept."""
        if self._folder and self._changed:
            staged = self._folder / f"{self._file}.new"
            staged.write_bytes(orjson.dumps(self._own, option=orjson.OPT_NON_STR_KEYS))
            staged.replace(self._folder / self._file)
            self._changed = False

    async def documents(self, names: list[str]) -> list[dict[str, Any]]:
        """Of these functions, of all workers, as the extension words them."""
        others = await asyncio.to_thread(self._others, set(names)) if self._folder else []
        documents = []
        for name in names:
            total = _One()
            for counted in (self._own, *others):
                if name in counted:
                    total.add(counted[name])
            documents.append(total.document())
        return documents

    def _noted(self, name: str) -> _One:
        one = self._own[name]
        one.last_ms = time.time_ns() // 1_000_000
        self._changed = True
        return one

    def _others(self, names: set[str]) -> list[dict[str, _One]]:
        assert self._folder is not None  # noqa: S101  for the type checker
        files = [file for file in self._folder.glob("statistics-*.json") if file.name != self._file]
        return [_load(file, names) for file in files]


def _load(file: Path, names: Collection[str] | None = None) -> dict[str, _One]:
    """What a worker counted, of these functions, or of all."""
    counted = orjson.loads(file.read_bytes())
    return {name: _read(one) for name, one in counted.items() if names is None or name in names}


def _read(one: dict[str, Any]) -> _One:
    sizes = {int(size): _Sums(**sums) for size, sums in one["sizes"].items()}
    return _One(**one | {"sizes": defaultdict(_Sums, sizes)})
