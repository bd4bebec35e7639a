"""What was inferred since the start, in this process: Triton's statistics extension.

Source: https://github.com/triton-inference-server/server, docs/protocol/extension_statistics.md.
"""

import time
from collections import defaultdict
from typing import Any, NamedTuple


class Took(NamedTuple):
    """The nanoseconds of a request: reading its tensors, waiting for the engine, the engine's call, the response."""

    read: int
    queue: int
    infer: int
    respond: int


class Duration:
    """How often something was done, and for how many nanoseconds altogether."""

    def __init__(self) -> None:
        self.count = self.ns = 0

    def add(self, ns: int) -> None:
        self.count += 1
        self.ns += ns

    def document(self) -> dict[str, int]:
        return {"count": self.count, "ns": self.ns}


class Compute:
    """The three parts of the work."""

    def __init__(self) -> None:
        self.input, self.infer, self.output = Duration(), Duration(), Duration()

    def add(self, took: Took) -> None:
        self.input.add(took.read)
        self.infer.add(took.infer)
        self.output.add(took.respond)

    def document(self) -> dict[str, Any]:
        parts = {"compute_input": self.input, "compute_infer": self.infer, "compute_output": self.output}
        return {name: part.document() for name, part in parts.items()}


class _One:
    """Of one function of a model."""

    def __init__(self) -> None:
        self.last_ms = self.rows = 0
        self.success, self.fail, self.queue = Duration(), Duration(), Duration()
        self.compute = Compute()
        self.batches: defaultdict[int, Compute] = defaultdict(Compute)  # by rows, of which there are limits

    def document(self) -> dict[str, Any]:
        none = Duration().document()  # nothing is cached
        parts = {"success": self.success, "fail": self.fail, "queue": self.queue}
        inference = {name: part.document() for name, part in parts.items()} | self.compute.document()
        return {
            "last_inference": self.last_ms,
            "inference_count": self.rows,
            "execution_count": self.compute.infer.count,
            "inference_stats": inference | {"cache_hit": none, "cache_miss": none},
            "batch_stats": [{"batch_size": n} | self.batches[n].document() for n in sorted(self.batches)],
        }


class Statistics:
    """Of every function, by its name; written and read on the event loop alone."""

    def __init__(self) -> None:
        self._by_name: defaultdict[str, _One] = defaultdict(_One)

    def succeed(self, name: str, rows: int, took: Took) -> None:
        """A request was answered, of as many rows: images, latents, or images drawn."""
        one = self._by_name[name]
        one.last_ms = time.time_ns() // 1_000_000
        one.rows += rows
        one.success.add(sum(took))
        one.queue.add(took.queue)
        one.compute.add(took)
        one.batches[rows].add(took)

    def fail(self, name: str, ns: int) -> None:
        """A request failed."""
        one = self._by_name[name]
        one.last_ms = time.time_ns() // 1_000_000
        one.fail.add(ns)

    def document(self, name: str) -> dict[str, Any]:
        """A function's, as the extension words it."""
        return self._by_name[name].document()
