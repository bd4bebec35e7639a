"""Several processes that serve on one port: how they share signals, and replace each other."""

import logging
import os
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from math import inf
from multiprocessing import Pipe, get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from threading import Thread
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from app import metrics
from app.figures import SHARED_MEMORY, SharedFigures
from app.report import Report
from app.server import Server

if TYPE_CHECKING:
    from app.engine import Engine

BOOT_S = 60  # until a worker is expected to answer at all
HUNG_S = 30  # a worker that is silent for so long is replaced
BRIEF_S = 10  # a worker that lived shorter than this is replaced ever more slowly
SLOWEST_RESTART_S = 60
VAIN_STARTS = 3  # of each place, one after another, when none serves
STOP_MARGIN_S = 10  # beyond the time that workers are given to stop

KILLED_S = 5  # until a process that is killed has ended
TOLD_S = 1  # until it is told how one has ended
UNKNOWN = 255  # the status of a process that none can tell of any more, as multiprocessing has it
HELD = {signal.SIGHUP, signal.SIGINT, signal.SIGTERM}  # signals that a process hears once it knows what to do

logger = logging.getLogger(__name__)

# Workers are forked from a process that has imported what they need: each shares that memory with the others, and is
# there in a third of a second. Elsewhere than on Linux what torch has loaded may not survive a fork: each is its own.
_context: Any = get_context("forkserver" if sys.platform == "linux" else "spawn")
_context.set_forkserver_preload(["app.preload"])


@contextmanager
def _held_back() -> Iterator[None]:
    """A process that is started meanwhile hears no signal until it wants to: it would die of one, or not end well."""
    resource_tracker.ensure_running()  # which lets signals through when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_of(pid: int) -> int:
    """A descriptor that is readable once a process has ended. Raises: OSError: if it has, and is forgotten."""
    if sys.platform == "linux":
        return os.pidfd_open(pid)
    raise ProcessLookupError(pid)


class Forks:
    """The process that workers are forked from. Where it ends they go on, and another one is started for the next."""

    def __init__(self) -> None:
        self._thread: Thread | None = None
        self._end: int | None = None

    def ready(self) -> bool:
        """Whether a worker can be started without a wait. Else what it needs is imported, in a thread."""
        if sys.platform != "linux":
            return True
        if self._thread is not None:
            if self._thread.is_alive():
                return False
            self._thread = None
            return True  # if that failed, the worker's start meets it again, and can tell
        if self._end is not None and not wait([self._end], 0):
            return True
        os.environ["PYTHONSAFEPATH"] = "1"  # it imports what this process would, and nothing from the current folder
        self._thread = Thread(target=self._import, daemon=True)
        self._thread.start()
        return False

    def _import(self) -> None:
        """When it has forked a first process, which tells who it is, it has imported everything."""
        if self._end is not None:
            os.close(self._end)
            self._end = None
        told, tell = Pipe(duplex=False)
        with suppress(OSError, EOFError), told, _held_back():
            with tell:
                first = _context.Process(target=_tell_parent, args=(tell,))
                first.start()
            self._end = _end_of(told.recv())
            first.join()


def _tell_parent(tell: Connection) -> None:
    tell.send(os.getppid())


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
        self.process = _context.Process(target=self.target, args=(sockets,), name=f"worker-{place}")
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
            with _held_back():  # for the process that it is forked from may have to be started again
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
            self._end = _end_of(self.process.pid or 0)

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


class Supervisor(Multiprocess):
    """Keeps several workers on one port: replaces those that die, and passes signals on.

    Where no worker has ever been warm and one cannot start, the whole start has failed. Later on a worker that cannot
    start is tried again, ever more slowly, while the others serve; where none does, and however often each was tried
    none became warm, the service has failed.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        sockets: list[socket.socket],
        figures: SharedFigures,
        drain_delay_s: float,
        leave_port: Callable[[], None],
        describe: Callable[["Engine"], Report],
        started: Callable[[Report], None],
    ) -> None:
        """
        Args:
            leave_port: is called when the first worker is warm; when it returns, the port is the workers'.
            describe: what a worker serves; it is called there.
            started: is called once, when every worker is warm, with what one of them serves.
        """
        super().__init__(config, sockets)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # what came since the start is heard now
        self.failed = False
        self._figures, self._drain_delay_s = figures, drain_delay_s
        self._leave_port, self._describe, self._announce = leave_port, describe, started
        self._port_is_left, self._port_is_held = Pipe(duplex=False)  # the second end, until it is closed
        self._workers: list[Worker] = []
        self._exits = Counter[str]()  # by reason
        self._forks = Forks()
        self._vain = 0  # how many that ended last were never warm
        self._stop_s = drain_delay_s + (config.timeout_graceful_shutdown or 0) + STOP_MARGIN_S
        # A signal makes the first of them readable, and so ends the wait below.
        self._wake, self._waker = socket.socketpair()
        for end in (self._wake, self._waker):
            end.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)

    def run(self) -> None:
        self._workers = [self._worker(place) for place in range(self.processes_num)]
        try:
            self._supervise()
        finally:  # workers that nobody supervises would be waited for in vain
            self._stop()

    def _supervise(self) -> None:
        announced = False
        while not self.should_exit.is_set():
            self.keep_subprocess_alive()
            if not self._port_is_held.closed and self._serves():
                self._leave_port()
                self._port_is_held.close()
            reports = [worker.report for worker in self._workers if worker.report]
            if not announced and len(reports) == len(self._workers):
                announced = True
                self._announce(reports[0])
            self._rest(self._running(), 0.2 if announced else 0.05)
            self.handle_signals()

    def keep_subprocess_alive(self) -> None:
        """Start the workers that are due, and replace those that are dead or hung."""
        self._figures.renew()
        ready = sum(worker.warm for worker in self._workers)
        told = metrics.Workers(len(self._workers), ready, self._exits)
        for worker in self._workers:
            if self.should_exit.is_set():
                return
            if worker.pid is None:
                if time.monotonic() >= worker.due and self._forks.ready():
                    self._start(worker)
                continue
            if worker.is_alive():
                worker.tell(told)
                continue
            reason, end = worker.end()
            self._exits[reason] += 1
            metrics.forget(worker.process.name)
            self._vain = 0 if worker.warm else self._vain + 1
            successor = self._worker(worker.place, worker.failures + 1 if worker.lived_briefly() else 0)
            self._workers[worker.place] = successor
            if worker.failure and not self._port_is_held.closed and not self._serves():
                logger.error(worker.failure)
                self._fail()
                return
            wait_s = max(0.0, successor.due - time.monotonic())
            logger.error("worker %d %s; another one starts in %.0f s", worker.pid, end, wait_s)
            self._fail_if_in_vain()

    def _start(self, worker: Worker) -> None:
        try:
            worker.start()
        except OSError as error:
            self._vain += 1
            wait_s = max(0.0, worker.due - time.monotonic())
            logger.error("a worker cannot be started, which is tried again in %.0f s: %s", wait_s, error)
            self._fail_if_in_vain()

    def _fail_if_in_vain(self) -> None:
        """Where none can be expected to serve any more."""
        if self._vain >= VAIN_STARTS * len(self._workers) and not self._serves():
            logger.error("the service ends: no worker serves, and the last %d ended before they could", self._vain)
            self._fail()

    def _fail(self) -> None:
        self.failed = True
        self.should_exit.set()

    def handle_hup(self) -> None:
        """Pass it on; a worker that is starting takes it when it can."""
        if not self._running():
            logger.info("SIGHUP: no worker has read a model yet that could be read anew")
        for worker in self._running():
            worker.send(signal.SIGHUP)

    def handle_ttin(self) -> None:
        logger.warning("the number of workers is fixed: set REPARAM_WORKERS and start again")

    handle_ttou = handle_ttin

    def _worker(self, place: int, failures: int = 0) -> Worker:
        left, describe = self._port_is_left, self._describe
        return Worker(self.config, self.sockets, place, self._drain_delay_s, left, describe, failures)

    def _serves(self) -> bool:
        return any(worker.warm for worker in self._workers)

    def _running(self) -> list[Worker]:
        return [worker for worker in self._workers if worker.pid is not None]

    def _stop(self) -> None:
        self._port_is_held.close()  # a worker that waits for the port can stop then
        for listener in self.sockets:  # the workers have it too: who comes when they have closed it is refused at once
            listener.close()
        for worker in self._running():
            worker.terminate()
        deadline = time.monotonic() + self._stop_s
        while left := [worker for worker in self._running() if worker.runs]:
            late = time.monotonic() >= deadline
            if late or signal.SIGINT in self.signal_queue:  # since the signal that began the stop
                for worker in left:
                    if late:
                        logger.error("worker %s does not stop, and is killed", worker.pid)
                    worker.kill()
                for worker in left:
                    wait([worker.sentinel], KILLED_S)
                return
            self._rest(left, max(0.0, deadline - time.monotonic()))

    def _rest(self, workers: list[Worker], seconds: float) -> None:
        """Until one of these workers ends, a signal comes, or so many seconds have passed."""
        wait([self._wake, *(worker.sentinel for worker in workers)], seconds)
        with suppress(BlockingIOError):
            self._wake.recv(4096)


def _pause_s(failures: int) -> float:
    """How long to wait before another start, after so many failures one after another."""
    return min(2.0 ** (failures - 2), SLOWEST_RESTART_S) if failures > 1 else 0.0
