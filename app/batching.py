"""Dynamic batching: what waits while a model is busy becomes one forward pass.

There is no timer. A request that finds its model idle runs at once, together with those of the same turn of the event
loop; the others wait for the pass in progress and no longer, then share the next, so that under load batches grow.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt

from models.errors import ReparamError

Array = npt.NDArray[np.float32]
Rows = npt.NDArray[np.float32 | np.uint8]  # bytes v stand for v / 255, which they become when a pass takes them
Columns = Sequence[Array | None]
Pass = Callable[[Array], Columns]  # rows (N, ...) -> columns (N, ...) each; no row depends on another
Observer = Callable[[str, int, float], None]


def as_numbers(rows: Rows) -> Array:
    """What rows stand for; numbers are not copied."""
    return cast("Array", np.divide(rows, np.float32(255), dtype=np.float32) if rows.dtype == np.uint8 else rows)


# Of the event loop, from a pass to the next: the answers go out, what has come meanwhile is received and read.
# With fewer the callers fall into two halves, each of which waits for the other's pass.
TURNS = 3


class OverloadedError(ReparamError):
    """More waits than the service lets wait."""


class Result(NamedTuple):
    """What became of a job's rows, and how long it took."""

    columns: Columns  # (N, ...) each
    queue_s: float  # from the call to its first pass
    infer_s: float  # in passes, the neighbours' share included
    finite: bool  # all numbers of those passes, the neighbours' included


class _Job:
    """Rows that wait for a pass, or where they are many for several."""

    def __init__(self, function: str, rows: Rows, future: "asyncio.Future[Result]") -> None:
        self.function, self.rows, self.future = function, rows, future
        self.done = 0  # rows
        self.alone = False  # it shared a pass that failed
        self.columns: Columns = []
        self.queued = time.perf_counter()
        self.started = 0.0
        self.infer_s = 0.0
        self.finite = True

    @property
    def left(self) -> int:
        return len(self.rows) - self.done

    def take(self, room: int) -> Array:
        """The next rows, as many as there is room for."""
        self.started = self.started or time.perf_counter()
        return as_numbers(self.rows[self.done : self.done + room])

    def put(self, columns: Columns, count: int, seconds: float, finite: bool) -> None:
        """What became of the rows that were taken; with the last of them the job is done."""
        self.infer_s += seconds
        self.finite &= finite
        if count == len(self.rows):
            self.columns = columns
        else:
            if not self.columns:
                total = len(self.rows)
                self.columns = [c if c is None else np.empty((total, *c.shape[1:]), c.dtype) for c in columns]
            for whole, part in zip(self.columns, columns, strict=True):
                if whole is not None and part is not None:
                    whole[self.done : self.done + count] = part
        self.done += count
        if not self.left:
            self.future.set_result(Result(self.columns, self.started - self.queued, self.infer_s, self.finite))


_Batch = list[tuple[_Job, Array]]


class BatchQueue:
    """The queue of one model, which has at most one forward pass at a time.

    Jobs that ask for the same function share a pass. A pass has one of a few sizes, which were warmed: a shape that is
    met for the first time costs tens of milliseconds. A job of more rows than the largest size takes several passes,
    and lets others go between them.

    Args:
        passes: by the function's name.
        sizes: how many rows a pass may have, ascending, by the function's name.
        max_waiting: rows that may wait, those of the pass in progress not counted; a job that finds nobody waiting is
            taken whatever its size.
        executor: of one thread, where the passes run.
        inline: the functions whose passes are so short that they run on the event loop instead.
        observe: told of every pass that is over: its function, how many rows were asked for, and seconds.
    """

    def __init__(
        self,
        passes: Mapping[str, Pass],
        sizes: Mapping[str, Sequence[int]],
        max_waiting: int,
        executor: Executor,
        inline: Collection[str] = (),
        observe: Observer = lambda *_: None,
    ) -> None:
        self._passes, self._sizes, self._max_waiting = passes, sizes, max_waiting
        self._executor, self._inline, self._observe = executor, inline, observe
        self._jobs: deque[_Job] = deque()
        self._busy = False
        self.waiting = 0  # rows

    @property
    def age_s(self) -> float:
        """For how long the job that waits longest has waited, in seconds; 0 if none does."""
        return time.perf_counter() - min(job.queued for job in self._jobs) if self._jobs else 0.0

    async def run(self, function: str, rows: Rows) -> Result:
        """A function of rows (N, ...), N at least 1. Whoever is cancelled leaves the queue.

        Raises: OverloadedError: if too many wait. Whatever the pass raises, if these rows alone are the cause.
        """
        if self.waiting and self.waiting + len(rows) > self._max_waiting:
            raise OverloadedError(
                f"expected at most {self._max_waiting} images to wait for a model (max_queue_images, set by "
                f"REPARAM_MAX_QUEUE_IMAGES), found {self.waiting} and {len(rows)} more; try again later"
            )
        loop = asyncio.get_running_loop()
        job = _Job(function, rows, loop.create_future())
        self._jobs.append(job)
        self.waiting += len(rows)
        if not self._busy:
            self._busy = True
            loop.call_soon(self._next)
        try:
            return await job.future
        except asyncio.CancelledError:
            if job in self._jobs:
                self._jobs.remove(job)
                self.waiting -= job.left
            raise

    def _next(self) -> None:
        """Start the next pass, if anything waits."""
        batch = self._take()
        self._busy = bool(batch)
        if not batch:
            return
        function = batch[0][0].function
        rows = self._stack(function, [part for _, part in batch])
        loop = asyncio.get_running_loop()
        if function in self._inline:
            self._finish(batch, *self._forward(function, rows))
        else:
            task = loop.run_in_executor(self._executor, self._forward, function, rows)
            task.add_done_callback(lambda done: self._finish(batch, *done.result()))

    def _next_after(self, turns: int) -> None:
        if turns:
            asyncio.get_running_loop().call_soon(self._next_after, turns - 1)
        else:
            self._next()

    def _take(self) -> _Batch:
        """The jobs of the next pass: the one that waited longest, and those that can share its pass, if there is room.

        A job with rows left over comes back to the end of the queue after the pass.
        """
        batch: _Batch = []
        passed_over: list[_Job] = []
        room = 0
        while self._jobs and (room or not batch):
            job = self._jobs.popleft()
            if not batch:
                room = self._sizes[job.function][-1]
            elif job.function != batch[0][0].function or job.alone:
                passed_over.append(job)
                continue
            part = job.take(room)
            batch.append((job, part))
            room = 0 if job.alone else room - len(part)
        self._jobs.extendleft(reversed(passed_over))
        if batch:
            self.waiting -= sum([len(part) for _, part in batch])
        return batch

    def _stack(self, function: str, parts: Sequence[Array]) -> Array:
        """The rows of a pass, padded with zeros to a size that was warmed."""
        count = sum(map(len, parts))
        size = next(size for size in self._sizes[function] if size >= count)
        if len(parts) == 1 and size == count:
            return parts[0]
        rows = np.zeros((size, *parts[0].shape[1:]), np.float32)
        np.concatenate(parts, out=rows[:count])
        return rows

    def _forward(self, function: str, rows: Array) -> tuple[Columns | Exception, float]:
        began = time.perf_counter()
        try:
            columns: Columns | Exception = self._passes[function](rows)
        except Exception as error:
            columns = error
        return columns, time.perf_counter() - began

    def _finish(self, batch: _Batch, columns: Columns | Exception, seconds: float) -> None:
        """Give every job its rows, or try each alone where a pass of several failed: one must not fail another.

        Then what waits has its turn.
        """
        self._observe(batch[0][0].function, sum([len(part) for _, part in batch]), seconds)
        finite = not isinstance(columns, Exception) and all(np.isfinite(c).all() for c in columns if c is not None)
        again: list[_Job] = []
        start = 0
        for job, part in batch:
            stop = start + len(part)
            if job.future.done():  # cancelled meanwhile
                self.waiting += len(part) - job.left
            elif not isinstance(columns, Exception):
                job.put([c if c is None else c[start:stop] for c in columns], len(part), seconds, finite)
                if job.left:
                    self._jobs.append(job)
            elif len(batch) > 1:
                job.alone = True
                again.append(job)
                self.waiting += len(part)
            else:
                job.future.set_exception(columns)
                self.waiting += len(part) - job.left
            start = stop
        self._jobs.extendleft(reversed(again))
        self._next_after(TURNS)
