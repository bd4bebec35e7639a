"""Several workers under load and under signals, as an operator has them."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app import metrics
from tests.conftest import ROOT
from tests.e2e.server import (
    REPARAM,
    STOP_S,
    forks_of,
    free_port,
    get,
    post,
    running,
    wait_for,
    wait_until_ready,
    workers_of,
)

pytestmark = pytest.mark.e2e


def _requests(url: str) -> float:
    """How many samples were drawn, as the worker that happens to answer says."""
    families = text_string_to_metric_families(get(f"{url}/metrics").text)
    return sum(
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == "reparam_requests_total" and sample.labels == {"operation": "sample", "status": "200"}
    )


def _inferred(url: str) -> int:
    """How many of them came through /v2, as its statistics say."""
    (stats,) = get(f"{url}/v2/models/mnist-mlp.sample/stats").json()["model_stats"]
    count: int = stats["execution_count"]
    return count


def _lines(log: Path) -> Iterator[dict[str, Any]]:
    """What the log tells, but for a line that is still being written: it has no end yet."""
    whole, _, _ = log.read_text().rpartition("\n")
    return map(json.loads, whole.splitlines())


def _agreed(tell: Callable[[str], float], url: str) -> float | None:
    """What either worker says, once they say the same: each call is on a connection of its own."""
    told = {tell(url) for _ in range(12)}
    return told.pop() if len(told) == 1 else None


def test_a_killed_worker_is_replaced_and_what_it_counted_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "log"
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with log.open("w") as out:
        process = subprocess.Popen(
            [REPARAM, "serve", "--port", str(port), "--workers", "2", "--model", "mnist-mlp"],
            env=os.environ | {"REPARAM_LOG_FORMAT": "json"},
            stdout=out,
            stderr=out,
            text=True,
        )
    try:
        wait_until_ready(url, process)

        lines = partial(_lines, log)
        wait_for(lambda: any(line["message"] == "started" for line in lines()))
        before = workers_of(process.pid)
        assert len(before) == 2
        folder = _folder_of(min(before))
        assert folder.stat().st_mode & 0o777 == 0o700

        done = 0
        while len({line["pid"] for line in lines() if line.get("path") == "/v1/sample"}) < 2:
            assert get(f"{url}/v1/sample?seed=1").status_code == 200
            assert post(f"{url}/v2/models/mnist-mlp.sample/infer", json={"inputs": []}).status_code == 200
            done += 1
            assert done < 500, "both workers take requests"
        wait_for(lambda: _agreed(_requests, url) == done)  # a worker shares what it counted ten times a second
        wait_for(lambda: _agreed(_inferred, url) == done)

        files = {path.name for path in folder.iterdir() if path.suffix != ".new"}

        victim = min(before)
        by_victim = sum(line["pid"] == victim for line in lines() if line.get("path") == "/v1/sample")
        lost, answered, stop = [], [], threading.Event()

        def ask() -> None:
            while not stop.is_set():
                try:
                    answered.append(get(f"{url}/v1/sample?seed=1").status_code)
                except httpx.TransportError as error:
                    lost.append(error)

        askers = [threading.Thread(target=ask) for _ in range(2)]
        for asker in askers:
            asker.start()
        try:
            wait_for(lambda: len(answered) > 100)
            os.kill(victim, signal.SIGKILL)
            wait_for(lambda: {line["pid"] for line in lines() if line.get("path") == "/v1/sample"} - before)
        finally:
            stop.set()
            for asker in askers:
                asker.join()
        assert set(answered) == {200} and len(lost) <= len(askers), lost
        assert victim not in workers_of(process.pid) and len(workers_of(process.pid)) == 2
        # The question alone: not what the killed worker had in hand, once the others have told of their last answers.
        wait_for(lambda: "reparam_requests_in_flight 1.0\n" in get(f"{url}/metrics").text)
        # All that it had counted before, and of the rest all but its last tenth of a second.
        asked = Counter(line["pid"] for line in lines() if line.get("path") == "/v1/sample")
        least, most = asked.total() - asked[victim] + by_victim, done + len(answered) + len(lost)
        wait_for(lambda: least <= (_agreed(_requests, url) or 0) <= most)
        wait_for(lambda: _agreed(_inferred, url) == done)
        assert {path.name for path in folder.iterdir() if path.suffix != ".new"} == files

        process.send_signal(signal.SIGHUP)
        wait_for(lambda: sum("SIGHUP" in str(line["message"]) for line in lines()) == 2)
        assert len(workers_of(process.pid)) == 2 and get(f"{url}/readyz").status_code == 200
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert not folder.exists()
    assert all(line["logger"] != "uvicorn.access" for line in lines())
    (report,) = [line for line in lines() if line["message"] == "started"]
    assert report["address"] == url and [model["name"] for model in report["models"]] == ["mnist-mlp"]


def _folder_of(worker: int) -> Path:
    """Where it shares its figures."""
    variables = Path(f"/proc/{worker}/environ").read_text().split("\0")
    (folder,) = [value for name, _, value in (each.partition("=") for each in variables) if name == metrics.FOLDER]
    return Path(folder)


def test_workers_serve_on_and_start_when_their_folder_is_removed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with running("--workers", "2", "--model", "mnist-mlp", log=log, REPARAM_LOG_FORMAT="json") as (url, process):
        wait_for(lambda: '"started"' in log.read_text())
        before = workers_of(process.pid)

        def infer() -> set[int]:
            assert post(f"{url}/v2/models/mnist-mlp.sample/infer", json={"inputs": []}).status_code == 200
            return {line["pid"] for line in _lines(log) if str(line.get("path")).endswith("/infer")}

        shutil.rmtree(_folder_of(min(before)))
        wait_for(lambda: infer() == before)
        time.sleep(1)  # in which each worker shares ten times what it counted
        assert workers_of(process.pid) == before
        os.kill(min(before), signal.SIGKILL)
        wait_for(lambda: infer() - before)
        assert get(f"{url}/metrics").status_code == 200 and _inferred(url)
        assert sum("was removed" in str(line["message"]) for line in _lines(log)) == 1


def test_workers_are_replaced_though_the_folder_of_the_start_is_removed(tmp_path: Path) -> None:
    folder, port = tmp_path / "release", free_port()
    folder.mkdir()
    url = f"http://127.0.0.1:{port}"
    command = [REPARAM, "serve", "--port", str(port), "--workers", "2", "--model", "mnist-mlp"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            wait_until_ready(url, process)
            wait_for(lambda: len(workers_of(process.pid)) == 2)
            before = workers_of(process.pid)
            folder.rmdir()
            os.kill(min(before), signal.SIGKILL)
            wait_for(lambda: _ready_workers(url) == 2 and workers_of(process.pid) - before)
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=STOP_S)
        finally:
            process.kill()
    assert process.returncode == 0 and "cannot be started" not in output, output


def _ready_workers(url: str) -> int:
    (line,) = re.findall(r"^reparam_workers_ready (\S+)$", get(f"{url}/metrics").text, re.MULTILINE)
    return int(float(line))


def test_a_worker_that_starts_later_takes_the_same_keys(tmp_path: Path) -> None:
    log, keys = tmp_path / "log", tmp_path / "keys"
    old, new = ({"x-api-key": f"the-{which}-key-of-all"} for which in ("old", "new"))
    keys.write_text(old["x-api-key"])
    environment = {"REPARAM_LOG_FORMAT": "json", "REPARAM_API_KEYS_FILE": str(keys)}
    with running("--workers", "2", "--model", "mnist-mlp", log=log, **environment) as (url, process):
        wait_for(lambda: '"started"' in log.read_text())
        keys.unlink()
        keys.write_text(new["x-api-key"])
        before = workers_of(process.pid)
        os.kill(min(before), signal.SIGKILL)
        wait_for(lambda: len(workers_of(process.pid) - {min(before)}) == 2)
        (later,) = workers_of(process.pid) - before

        def served_by_the_later() -> bool:
            assert get(f"{url}/v1/models", headers=old).status_code == 200
            assert get(f"{url}/v1/models", headers=new).status_code == 401
            return {line["status"] for line in _lines(log) if "path" in line and line["pid"] == later} == {200, 401}

        wait_for(served_by_the_later)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_log_that_cannot_be_written_keeps_it_from_neither_serving_nor_stopping(workers: str) -> None:
    port = free_port()
    command = [REPARAM, "serve", "--port", str(port), "--workers", workers, "--model", "mnist-mlp"]
    with Path("/dev/full").open("w") as full:
        process = subprocess.Popen(command, stdout=full, stderr=full, text=True)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", process)
        wait_for(lambda: get(f"http://127.0.0.1:{port}/v1/sample").status_code == 200)
        process.terminate()
        assert process.wait(STOP_S) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_closed_standard_streams_keep_it_from_neither_serving_nor_stopping(workers: str) -> None:
    port = free_port()
    serve = [REPARAM, "serve", "--port", str(port), "--workers", workers, "--model", "mnist-mlp"]
    process = subprocess.Popen(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *serve], text=True)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", process)
        for pid in {process.pid} | (workers_of(process.pid) if workers == "2" else set()):
            assert all(Path(f"/proc/{pid}/fd/{number}").readlink() == Path(os.devnull) for number in range(3))
        time.sleep(1)  # in which it says what it serves
        assert get(f"http://127.0.0.1:{port}/v1/sample").status_code == 200
        process.terminate()
        assert process.wait(STOP_S) == 0
    finally:
        process.kill()
        process.wait()


def test_a_killed_worker_takes_its_own_connections_with_it_and_no_other(tmp_path: Path) -> None:
    """Eight callers that keep their connections, as those of a pool do."""
    log = tmp_path / "log"
    with running("--workers", "2", "--model", "mnist-mlp", log=log, REPARAM_LOG_FORMAT="json") as (url, process):
        wait_for(lambda: '"started"' in log.read_text())
        before = workers_of(process.pid)
        sent = [0] * 8
        failed: list[tuple[int, int]] = []  # caller, its request
        stop = threading.Event()

        def ask(caller: int) -> None:
            with httpx.Client(base_url=url, timeout=30) as client:
                while not stop.is_set():
                    sent[caller] += 1
                    try:
                        headers = {"x-request-id": f"{caller}-{sent[caller]}"}
                        assert client.get("/v1/sample?seed=1", headers=headers).status_code == 200
                    except httpx.TransportError:
                        failed.append((caller, sent[caller]))
                    time.sleep(0.01)

        def pids() -> dict[str, int]:
            return {line["request_id"]: line["pid"] for line in _lines(log) if "path" in line}

        with ThreadPoolExecutor(8) as threads:
            callers = [threads.submit(ask, caller) for caller in range(8)]
            try:
                wait_for(lambda: len(set(pids().values()) & before) == 2 and min(sent) > 20)
                victim = next(iter(set(pids().values()) & before))
                os.kill(victim, signal.SIGKILL)
                wait_for(lambda: len(workers_of(process.pid) - {victim}) == 2)
                reached = max(sent)
                wait_for(lambda: min(sent) > reached + 20)
            finally:
                stop.set()
            for caller in callers:
                caller.result()
        told = pids()
        assert failed and len({caller for caller, _ in failed}) == len(failed)  # once each, and then served again
        # The one that was answered before: of whose line the kill may have been the end.
        assert {told.get(f"{caller}-{request - 1}", victim) for caller, request in failed} == {victim}


def test_a_worker_that_cannot_start_any_more_is_not_started_again_and_again(zoo: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mnist-mlp"
    shutil.copytree(zoo / "mnist-mlp", mine)
    log = tmp_path / "log"
    with running("--model", f"{mine}/", "--workers", "2", log=log, REPARAM_LOG_FORMAT="json") as (url, process):
        wait_for(lambda: '"started"' in log.read_text())
        (mine / "model.safetensors").write_bytes(b"\0" * 100)
        victim = min(workers_of(process.pid))
        os.kill(victim, signal.SIGKILL)
        seen: set[int] = set()
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            seen |= workers_of(process.pid)
            assert get(f"{url}/readyz").status_code == 200
            time.sleep(0.05)
        assert 3 <= len(seen) <= 2 + 6, seen  # after 0, 0, 1, 2, 4 and 8 seconds, if starting took no time

        def failed() -> int:
            return sum("cannot start: " in str(line["message"]) for line in _lines(log))

        told = dict(line.rsplit(" ", 1) for line in get(f"{url}/metrics").text.splitlines())
        assert (told["reparam_workers_wanted"], told["reparam_workers_ready"]) == ("2.0", "1.0")
        exits = [float(told[f'reparam_worker_exits_total{{reason="{reason}"}}']) for reason in metrics.EXITS]
        assert exits in ([0, 1, failed()], [0, 1, failed() - 1])

        # Nor is the last one given up at once, without which none serves.
        (last,) = {line["pid"] for line in _lines(log) if line.get("path") == "/readyz"} & workers_of(process.pid)
        before = failed()
        os.kill(last, signal.SIGKILL)
        wait_for(lambda: failed() > before)
        shutil.copy(zoo / "mnist-mlp" / "model.safetensors", mine)
        wait_for(lambda: get(f"{url}/readyz").status_code == 200)


WITHOUT_PROCESSES = """
import sys
from errno import EAGAIN
from multiprocessing import util
from pathlib import Path
from app.cli import main

spawn, none_is_left = util.spawnv_passfds, Path(sys.argv.pop())

def spawn_if_it_can(*arguments):
    if none_is_left.exists():
        raise BlockingIOError(EAGAIN, "Resource temporarily unavailable")
    return spawn(*arguments)

util.spawnv_passfds = spawn_if_it_can
main()
"""


def test_the_others_serve_on_while_the_system_has_no_process_for_another(tmp_path: Path) -> None:
    """Nor does it matter to them that the process ends from which they were forked."""
    log, none_is_left, port = tmp_path / "log", tmp_path / "none", free_port()
    url = f"http://127.0.0.1:{port}"
    serve = ["serve", "--port", str(port), "--workers", "2", "--model", "mnist-mlp", str(none_is_left)]
    with log.open("w") as out:
        process = subprocess.Popen([sys.executable, "-c", WITHOUT_PROCESSES, *serve], cwd=ROOT, stderr=out, text=True)

    def end_forks() -> None:
        forks = forks_of(process.pid)
        assert forks is not None
        os.kill(forks, signal.SIGKILL)

    def both_serve() -> bool:
        return "reparam_workers_ready 2.0\n" in get(f"{url}/metrics").text

    try:
        wait_until_ready(url, process)
        wait_for(lambda: "Reparam\n" in log.read_text())
        one, other = workers_of(process.pid)
        end_forks()
        none_is_left.touch()
        os.kill(one, signal.SIGKILL)
        wait_for(lambda: log.read_text().count("a worker cannot be started") == 3 or process.poll() is not None)
        assert get(f"{url}/readyz").status_code == 200
        assert f"worker {one} ended, and the process that could tell how has ended too" in log.read_text()
        assert f"worker {other} " not in log.read_text()
        process.send_signal(signal.SIGHUP)  # is heard
        wait_for(lambda: "mnist-mlp: not changed" in log.read_text())
        none_is_left.unlink()
        wait_for(both_serve)
        assert f"worker {other} " not in log.read_text()

        (new,) = workers_of(process.pid)
        end_forks()
        os.kill(new, signal.SIGKILL)
        wait_for(lambda: workers_of(process.pid) - {new} and both_serve())  # it is forked from a third one

        serving = {other} | workers_of(process.pid)
        none_is_left.touch()  # nor does the service wait for ever
        end_forks()
        for pid in serving:
            os.kill(pid, signal.SIGKILL)
        assert process.wait(60) == 3
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in log.read_text()


def test_a_signal_to_all_of_its_processes_is_one_to_it(tmp_path: Path) -> None:
    """As a terminal and systemd send them; in a folder whose modules have the names of those that it imports."""
    log, port = tmp_path / "log", free_port()
    for name in ("app", "torch", "uvloop"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('another one')")
    command = [REPARAM, "serve", "--port", str(port), "--workers", "2", "--model", "mnist-mlp"]

    def start(drain_delay_s: int) -> subprocess.Popen[bytes]:
        environment = os.environ | {"REPARAM_DRAIN_DELAY_S": str(drain_delay_s)}
        with log.open("w") as out:
            return subprocess.Popen(
                command, cwd=tmp_path, env=environment, stdout=out, stderr=out, start_new_session=True
            )

    process = start(3)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", process)
        wait_for(lambda: "Reparam\n" in log.read_text())
        began = time.monotonic()
        os.killpg(process.pid, signal.SIGTERM)
        time.sleep(1)
        assert get(f"http://127.0.0.1:{port}/v1/sample").status_code == 200
        assert process.wait(STOP_S) == 0 and time.monotonic() - began > 3
        assert "Traceback" not in log.read_text()

        process = start(0)
        wait_for(lambda: forks_of(process.pid) is not None)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(STOP_S) == 0
        assert "Traceback" not in log.read_text()
    finally:
        process.kill()
        process.wait()


def test_a_service_of_which_no_worker_can_start_ends(tmp_path: Path) -> None:
    """Whatever they die of."""
    port, log = free_port(), tmp_path / "log"
    command = [REPARAM, "serve", "--port", str(port), "--workers", "2", "--model", "mnist-mlp"]
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", process)
        wait_for(lambda: "Reparam\n" in log.read_text())
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            for pid in workers_of(process.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.2)
        assert process.wait(60) == 3
    finally:
        process.kill()
        process.wait()
    assert "no worker serves, and the last 6 ended before they could" in log.read_text()


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_drains_first(sent: signal.Signals) -> None:
    with running("--model", "mnist-mlp", REPARAM_DRAIN_DELAY_S="5") as (url, process):
        with httpx.Client(base_url=url) as client:
            assert client.get("/readyz").status_code == 200
            process.send_signal(sent)
            began = time.monotonic()
            while (answer := client.get("/readyz")).status_code == 200:
                pass  # the signal is on its way
            assert (answer.status_code, answer.json()["type"]) == (503, "urn:reparam:problem:draining")
            assert answer.headers["connection"] == "close"
        for _ in range(5):
            assert get(f"{url}/v1/sample").status_code == 200  # new connections, too
        assert process.wait(60) == 0
        assert time.monotonic() - began >= 5


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_second_interrupt_ends_it_at_once(workers: str) -> None:
    port = free_port()
    with subprocess.Popen(
        [REPARAM, "serve", "--port", str(port), "--workers", workers, "--model", "mnist-mlp"],
        env=os.environ | {"REPARAM_DRAIN_DELAY_S": "120"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until_ready(url, process)
            with socket.create_connection(("127.0.0.1", port)) as slow:
                slow.sendall(b"POST /v1/encode HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\n1234")
                process.send_signal(signal.SIGINT)
                wait_for(lambda: get(f"{url}/readyz").status_code == 503)
                process.send_signal(signal.SIGINT)
                output, _ = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 0 and "Traceback" not in output, output


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_start_that_is_called_off_ends_as_a_stop_does(workers: str) -> None:
    port = free_port()
    with subprocess.Popen(
        [REPARAM, "serve", "--port", str(port), "--workers", workers],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            wait_for(lambda: _listens(port))
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0 and "Traceback" not in output, output


@pytest.mark.parametrize("delay_s", [0.7, 1.2, 1.7, 2.2, 2.7])
def test_a_start_of_workers_can_be_called_off_at_any_instant(delay_s: float) -> None:
    process = subprocess.Popen(
        [REPARAM, "serve", "--port", str(free_port()), "--workers", "2"],
        env=os.environ | {"REPARAM_LOG_FORMAT": "json"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        time.sleep(delay_s)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=STOP_S)
    finally:
        process.kill()
    assert process.returncode == 0, output
    for line in output.splitlines():
        assert "Traceback" not in str(json.loads(line)), output


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_stop_while_the_models_load_waits_for_no_drain(tmp_path: Path, workers: str) -> None:
    log = tmp_path / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [REPARAM, "serve", "--port", str(free_port()), "--workers", workers],
            env=os.environ | {"REPARAM_DRAIN_DELAY_S": "3600"},
            stderr=out,
        )
    try:
        wait_for(lambda: "Waiting for application startup" in log.read_text())
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_S) == 0
    finally:
        process.kill()
        process.wait()
    assert "Application startup complete" not in log.read_text() and "Traceback" not in log.read_text()


WITHIN_A_LIBRARY = """
import signal, sys
import app.serving
from app.cli import main

def run(settings, listener):
    try:
        signal.raise_signal(signal.SIGTERM)
    except BaseException as error:
        raise ValueError("made of what was raised") from error

app.serving.serve = run
sys.argv = ["reparam", "serve", "--port", "0"]
main()
"""


def test_a_start_that_is_called_off_within_a_library_does_too() -> None:
    command = [sys.executable, "-c", WITHIN_A_LIBRARY]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def _listens(port: int) -> bool:
    with socket.socket() as link:
        return link.connect_ex(("127.0.0.1", port)) == 0


def test_workers_end_with_their_supervisor() -> None:
    port = free_port()
    process = subprocess.Popen(
        [REPARAM, "serve", "--port", str(port), "--workers", "2", "--model", "mnist-mlp"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    folder: Path | None = None
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", process)
        wait_for(lambda: len(workers_of(process.pid)) == 2)
        workers = workers_of(process.pid)
        folder = _folder_of(min(workers))
        process.kill()
        process.wait()
        wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), 30)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


def test_a_port_that_is_taken_is_one_line() -> None:
    with running("--model", "mnist-mlp") as (url, _):
        command = [REPARAM, "serve", "--model", "mnist-mlp", "--port", url.rpartition(":")[2]]
        end = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert end.returncode == 1 and end.stderr.startswith("error: host, port:") and end.stderr.count("\n") == 1
