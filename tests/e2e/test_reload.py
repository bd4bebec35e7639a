"""Models that are exchanged while they serve, on SIGHUP."""

import json
import os
import shutil
import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.server import get, running, wait_for, workers_of

pytestmark = pytest.mark.e2e

NAME = "tiny-2d"


def _install(link: Path, checkpoint: Path, spoil: bool = False) -> str:
    """What lies behind the link is another checkpoint from one instant to the next. Returns: its sha256."""
    folder = Path(shutil.copytree(checkpoint, link.with_name(f"{link.name}-{uuid.uuid4()}")))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"name": NAME}))
    if spoil:
        weights = bytearray((folder / "model.safetensors").read_bytes())
        weights[-1] ^= 1
        (folder / "model.safetensors").write_bytes(weights)
    staged = link.with_name("staged")
    staged.symlink_to(folder)
    staged.replace(link)
    sha256: str = config["weights"]["sha256"]
    return sha256


def _lines(log: Path) -> Iterator[dict[str, Any]]:
    return (json.loads(line) for line in log.read_text().splitlines())


def _asked_of_each(url: str, log: Path, workers: set[int], path: str) -> dict[int, httpx.Response]:
    """An answer of every worker, by its process id: asked on new connections until each has given one."""
    answers: dict[str, httpx.Response] = {}
    found: dict[int, httpx.Response] = {}

    def ask() -> bool:
        for _ in range(4):
            request_id = str(uuid.uuid4())
            answers[request_id] = get(f"{url}{path}", headers={"x-request-id": request_id})
        for line in _lines(log):
            if line.get("request_id") in answers and "path" in line:
                found[line["pid"]] = answers[line["request_id"]]
        return set(found) == workers

    wait_for(ask)
    return found


def _reloads(url: str, outcome: str) -> float:
    return _figure(url, "reparam_reloads_total", outcome=outcome)


def _figure(url: str, name: str, **labels: str) -> float:
    """Of the one model that is served."""
    (value,) = (
        sample.value
        for family in text_string_to_metric_families(get(f"{url}/metrics").text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )
    return value


def _latents_shown(schema: httpx.Response) -> int:
    """How many numbers the example of a call to decode has."""
    body = schema.json()["paths"]["/v1/decode"]["post"]["requestBody"]["content"]["application/json"]
    return len(body["example"]["latents"][0])


def _drawn(url: str, client: httpx.Client | None = None) -> np.ndarray:
    """The latents of two samples of one seed, (2, Z): which tell the models apart."""
    ask = client.get if client else get
    answer = ask(f"{url}/v1/sample?seed=1&count=2", headers={"accept": "application/json"}, timeout=60)
    assert answer.status_code == 200, answer.text
    return np.array(answer.json()["latents"])


def _under_load(url: str, do: Callable[[], None]) -> list[np.ndarray]:
    """Four callers draw samples before, while and after `do` runs. Returns: what they were answered, all of it good."""
    stop = threading.Event()
    drawn: list[list[np.ndarray]] = [[] for _ in range(4)]

    def ask(answers: list[np.ndarray]) -> None:
        with httpx.Client() as kept:
            while not stop.wait(0.02):
                answers += [_drawn(url, kept), _drawn(url)]

    with ThreadPoolExecutor(4) as threads:
        callers = [threads.submit(ask, answers) for answers in drawn]

        def all_go_on() -> None:
            reached = [len(answers) for answers in drawn]
            wait_for(
                lambda: (
                    any(caller.done() for caller in callers)
                    or all(len(answers) > n for answers, n in zip(drawn, reached, strict=True))
                )
            )

        try:
            all_go_on()
            do()
            all_go_on()
        finally:
            stop.set()
        for caller in callers:
            caller.result()
    return [latents for answers in drawn for latents in answers]


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    """But for rounding, which depends on the calls that share a pass."""
    return a.shape == b.shape and np.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("count", [1, 2])
def test_every_worker_takes_a_good_checkpoint_and_refuses_a_bad_one(
    checkpoints: dict[str, Path], tmp_path: Path, count: int
) -> None:
    served, log = tmp_path / "served", tmp_path / "log"
    _install(served, checkpoints["tiny-2d"])
    with running("--workers", str(count), "--model", str(served), log=log, REPARAM_LOG_FORMAT="json") as (url, process):
        wait_for(lambda: any(line["message"] == "started" for line in _lines(log)))
        workers = workers_of(process.pid) if count > 1 else {process.pid}
        before = _drawn(url)

        def exchange() -> None:
            os.kill(process.pid, signal.SIGHUP)
            wait_for(lambda: _reloads(url, "success") == count)

        sha256 = _install(served, checkpoints["tiny-flow"])
        answers = _under_load(url, exchange)
        after = _drawn(url)
        assert (before.shape, after.shape) == ((2, 2), (2, 5))
        assert all(_same(answer, before) or _same(answer, after) for answer in answers)  # no mixture
        assert {answer.shape for answer in answers} == {before.shape, after.shape}

        for answer in _asked_of_each(url, log, workers, f"/v1/models/{NAME}").values():
            assert (answer.json()["sha256"], answer.json()["latents"]) == (sha256, 5)
        wait_for(
            lambda: {_latents_shown(a) for a in _asked_of_each(url, log, workers, "/openapi.json").values()} == {5}
        )

        def refuse(times: int) -> None:
            os.kill(process.pid, signal.SIGHUP)
            wait_for(lambda: _reloads(url, "failure") == count * times)

        for times, bad in enumerate(("tiny-2d", "tiny-flow"), 1):  # another one, and what is served itself
            _install(served, checkpoints[bad], spoil=True)
            assert all(_same(answer, after) for answer in _under_load(url, partial(refuse, times)))
        for answer in _asked_of_each(url, log, workers, f"/v1/models/{NAME}").values():
            assert answer.json()["sha256"] == sha256
        told = [line for line in _lines(log) if "not reloaded" in line["message"]]
        assert len(told) == 2 * count and {line["pid"] for line in told} == workers
        for line in told:
            assert line["level"] == "error" and "model.safetensors: expected sha256" in line["message"]
        assert _reloads(url, "success") == count
        assert _figure(url, "reparam_last_reload_successful") == 0

        _install(served, checkpoints["tiny-flow"])  # what is served lies there again
        os.kill(process.pid, signal.SIGHUP)
        wait_for(lambda: _figure(url, "reparam_last_reload_successful") == 1)
