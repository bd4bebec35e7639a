"""How a supervisor takes what it hears of its workers; whole processes are in tests/e2e."""

import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from uvicorn.supervisors.multiprocess import SIGNALS

from app import figures, metrics, supervisor, worker
from app.figures import SharedFigures
from app.supervisor import VAIN_STARTS, Supervisor
from app.worker import BOOT_S, HUNG_S, Worker

REPORT: Any = {"address": "here"}


class Played(Worker):
    """A worker without a process."""

    runs, sentinel = True, -1

    class process:  # noqa: N801  as the worker's
        name, pid, exitcode = "worker-0", 1, None

        @staticmethod
        def join(timeout: float) -> None:
            """There is none."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.process = Played.process
        self._began = self._heard = worker.time.monotonic()
        self._patience_s = BOOT_S + HUNG_S

    def send(self, number: signal.Signals) -> None:
        """Nobody hears it."""

    def says(self, report: Any = None, failure: str | None = None) -> None:
        """What it answers a ping."""
        self.child_conn.send((report, failure))


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set."""
    now = [0.0]
    for module in (supervisor, worker):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


@pytest.fixture
def signals() -> Iterator[None]:
    """This process's own, as they were."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def of_two(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    now: list[float],  # noqa: ARG001
    signals: None,  # noqa: ARG001
) -> Iterator[Supervisor]:
    """Of two workers that have started, and have yet to say something."""
    monkeypatch.setattr(figures, "SHARED_MEMORY", str(tmp_path))
    monkeypatch.setattr(supervisor, "Worker", Played)
    monkeypatch.setattr(metrics, "forget", lambda _: None)
    for module in (supervisor, worker):
        monkeypatch.setattr(module, "wait", lambda *_: [])
    monkeypatch.setenv(metrics.FOLDER, "")
    with socket.socket() as listener, SharedFigures(2) as shared:
        config = uvicorn.Config("app.main:app", workers=2)
        one: Any = None
        of_two = Supervisor(config, [listener], shared, 0, lambda: None, lambda _: one, lambda _: None)
        of_two._workers = [of_two._worker(place) for place in range(2)]
        yield of_two
        signal.set_wakeup_fd(-1)
        for end in (of_two._wake, of_two._waker):
            end.close()


def test_a_start_goes_on_where_one_worker_cannot_start_and_another_is_warm(of_two: Supervisor) -> None:
    good, bad = of_two._workers
    good.says(REPORT)
    of_two.keep_subprocess_alive()
    bad.says(failure="no memory")
    of_two.keep_subprocess_alive()
    assert not of_two.failed and of_two._workers[0] is good and of_two._workers[1] is not bad


def test_a_start_of_which_the_first_cannot_start_has_failed(of_two: Supervisor, caplog: Any) -> None:
    of_two._workers[1].says(failure="expected a checkpoint, found none")
    of_two.keep_subprocess_alive()
    assert of_two.failed and [record.message for record in caplog.records] == ["expected a checkpoint, found none"]


def test_a_worker_is_given_longer_for_its_first_word(of_two: Supervisor, now: list[float], caplog: Any) -> None:
    of_two._workers[0].says(REPORT)
    of_two.keep_subprocess_alive()
    now[0] = HUNG_S
    of_two.keep_subprocess_alive()
    now[0] = BOOT_S + HUNG_S
    of_two.keep_subprocess_alive()
    assert [record.message.split(";")[0] for record in caplog.records] == [
        "worker 1 was silent for 30 s and was killed",
        "worker 1 was silent for 90 s and was killed",
    ]


def test_the_service_ends_where_all_were_tried_in_vain(of_two: Supervisor, now: list[float], caplog: Any) -> None:
    for tried in range(1, VAIN_STARTS + 1):
        assert not of_two.failed
        now[0] = tried * (BOOT_S + HUNG_S)
        of_two.keep_subprocess_alive()
    assert of_two.failed
    assert f"no worker serves, and the last {2 * VAIN_STARTS} ended before they could" in caplog.text
