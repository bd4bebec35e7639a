"""What a command that takes long shows: a bar for each thing that it does, and a line a minute in a log."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

LINE_S = 60.0  # between two lines of a log
LONG_S = 2.0  # what takes less needs no bar


class ProgressBar:
    """A line for each thing that is done, on a terminal; elsewhere now and then how far it is.

    Args:
        after_s: how long it shows nothing.
    """

    def __init__(self, after_s: float = 0.0) -> None:
        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._told = time.monotonic()
        self._begins = self._told + after_s
        self._tasks: dict[str, TaskID] = {}

    def show(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bar.add_task(what)
        self._bar.update(self._tasks[what], completed=done, total=total)
        if time.monotonic() >= self._begins:
            self._bar.start()  # unless it has
        if not self._console.is_terminal and time.monotonic() - self._told >= LINE_S:
            self._told = time.monotonic()
            self._console.print(f"{what} {done:,}/{total:,}", highlight=False, markup=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar.live.is_started:
            self._bar.stop()
