"""Several processes that serve on one port: how they share signals, and replace each other."""

import logging
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.supervisors.multiprocess import Multiprocess

from app import metrics
from app.figures import SharedFigures
from app.forks import Forks
from app.report import Report
from app.worker import KILLED_S, Worker

if TYPE_CHECKING:
    from app.engine import Engine

VAIN_STARTS = 3  # of each place, one after another, when none serves
STOP_MARGIN_S = 10  # beyond the time that workers are given to stop

logger = logging.getLogger(__name__)


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
            self._forks.settle()

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
