"""A process that serves, as its supervisor sees it and as it is."""

import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from math import inf
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.supervisors.multiprocess import Process

from app import metrics
from app.figures import SHARED_MEMORY
from app.forks import HELD, be_somewhere, context, end_of, held_back
from app.report import Report
from app.server import Server

if TYPE_CHECKING:
    from app.engine import Engine

BOOT_S = 60  # until a worker is expected to answer at all
HUNG_S = 30  # a worker that is silent for so long is replaced
BRIEF_S = 10  # a worker that lived shorter than this is replaced ever more slowly
SLOWEST_RESTART_S = 60
KILLED_S = 5  # until a process that is killed has ended
TOLD_S = 1  # until it is told how one has ended
UNKNOWN = 255  # the status of a process that none can tell of any more, as multiprocessing has it


class Worker(Process):
    """A process that serves beside others. It outlives neither its supervisor nor a long silence.

    Attributes, in the supervisor as far as it has heard:
        report: of what it serves, once its models are warm.
        failure: why it cannot serve.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        sockets: list[socket.socket],
        place: int,
        drain_delay_s: float,
        port_is_left: Connection,
        describe: Callable[["Engine"], Report],
        failures: int = 0,
    ) -> None:
        """
        Args:
            place: which of the workers it is; another one that takes its place counts on where it ended.
            port_is_left: ends when the workers may take the port.
            failures: how many before it, one after another, failed to start or lived briefly.
        """
        super().__init__(config, sockets)
        self.process = context.Process(target=self.target, args=(sockets,), name=f"worker-{place}")
        self.place, self.failures = place, failures
        self.report: Report | None = None
        self.failure: str | None = None
        self._port_is_left, self._describe = port_is_left, describe
        self.due = time.monotonic() + _pause_s(failures)
        self._drain_delay_s = drain_delay_s
        self._asked = False
        self._end: int | None = None

    @property
    def warm(self) -> bool:
        return self.report is not None

    def start(self) -> None:
        """Raises: OSError: if there is no process for it now; it may be tried again when it is due."""
        try:
            with held_back():  # for the process that it is forked from may have to be started again
                be_somewhere()
                super().start()
        except (OSError, EOFError) as error:
            self.failures += 1
            self.due = time.monotonic() + _pause_s(self.failures)
            if isinstance(error, EOFError):
                raise OSError("the process that it is forked from has ended") from error
            raise
        self._began = self._heard = time.monotonic()
        self._patience_s = BOOT_S + HUNG_S
        with suppress(OSError):  # else it has ended already
            self._end = end_of(self.process.pid or 0)

    @property
    def sentinel(self) -> int:
        """Is readable once the process has ended."""
        found: int = self.process.sentinel if self._end is None else self._end
        return found

    @property
    def runs(self) -> bool:
        """Whether its process does, whoever has ended that it was forked from."""
        return not wait([self.sentinel], 0)

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        self.parent_conn.close()  # the supervisor has the other copy: when it ends, so does the pipe
        self.config.configure_logging()
        self._server = Server(self.config, self._drain_delay_s, self._take_over, tell_failure=self._fail)
        with self._server.capture_signals():
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)
            super().target(sockets)

    def _take_over(self, engine: "Engine") -> None:
        self.report = self._describe(engine)
        self._port_is_left.poll(None)

    def _fail(self, why: str) -> None:
        self.failure = why

    def pong(self) -> None:
        metrics.workers(self.child_conn.recv())
        self.child_conn.send((self.report, self.failure))

    def always_pong(self) -> None:
        """Answer pings until the supervisor ends, and then stop as well."""
        with suppress(EOFError, OSError):
            super().always_pong()
        self.server.handle_exit(signal.SIGTERM, None)

    def is_alive(self, timeout: float = inf) -> bool:
        """Whether it runs, can serve, and has not been silent for too long, or for `timeout` seconds. Never waits."""
        if not self.runs:
            return False
        with suppress(OSError, EOFError):
            while self.parent_conn.poll():
                self.report, self.failure = self.parent_conn.recv()
                self._heard, self._asked, self._patience_s = time.monotonic(), False, HUNG_S
        return self.failure is None and time.monotonic() - self._heard < min(timeout, self._patience_s)

    def tell(self, workers: metrics.Workers) -> None:
        """Ping it with how the workers are, unless it has yet to answer."""
        if not self._asked:
            with suppress(OSError):
                self.parent_conn.send(workers)
                self._asked = True

    def send(self, number: signal.Signals) -> None:
        """A signal, if it runs."""
        if self.runs:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid or 0, number)

    def terminate(self) -> None:
        self.send(signal.SIGTERM)
        self._hang_up()

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        self._hang_up()

    def _hang_up(self) -> None:
        self.parent_conn.close()
        self.child_conn.close()

    def end(self) -> tuple[str, str]:
        """How it ended, for the metrics and in words; it is killed if it runs."""
        ran = self.runs
        self.kill()
        wait([self.sentinel], KILLED_S)
        self.process.join(TOLD_S)
        status = self.exitcode
        if self._end is not None:
            os.close(self._end)
            self._end = None
        if self.failure is not None:
            return "status", f"cannot start: {self.failure}"
        if ran:
            return "hung", f"was silent for {self._patience_s} s and was killed"
        if status is None or status == UNKNOWN:
            return "status", "ended, and the process that could tell how has ended too"
        if status >= 0:
            return "status", f"ended with status {status}"
        name = signal.Signals(-status).name
        return "signal", f"ended with {name}" + (f", as when {SHARED_MEMORY} is full" if name == "SIGBUS" else "")

    def lived_briefly(self) -> bool:
        """Whether it never served, or not for long."""
        return not self.warm or time.monotonic() - self._began < BRIEF_S


def _pause_s(failures: int) -> float:
    """How long to wait before another start, after so many failures one after another."""
    return min(2.0 ** (failures - 2), SLOWEST_RESTART_S) if failures > 1 else 0.0
