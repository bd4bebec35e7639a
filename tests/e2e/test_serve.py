"""The service as an operator runs it."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import httpx
import pytest
import torch
from uvicorn.config import STARTUP_FAILURE

from tests.app.problems import assert_problem
from tests.e2e.server import REPARAM, free_port, get, running, wait_for

pytestmark = pytest.mark.e2e


def _start(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [REPARAM, "serve", "--port", str(free_port()), *arguments]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("command", ["serve", "doctor"])
def test_a_model_without_a_name_is_a_mistake_and_not_every_model(command: str) -> None:
    end = subprocess.run([REPARAM, command, "--model", ""], capture_output=True, text=True, timeout=60)
    assert end.returncode == 1, end.stderr
    assert "expected the name or the folder of a checkpoint, found an empty name" in end.stderr


def test_a_folder_may_have_a_comma_in_its_name(zoo: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(zoo / "mnist-mlp", tmp_path / "one,two")
    with running("--model", str(folder)) as (url, _):
        assert get(f"{url}/v1/models").json()["models"][0]["name"] == "mnist-mlp"


def test_two_servers_draw_the_same_digits_and_stop_cleanly() -> None:
    pictures = []
    for workers in ("1", "2"):
        with running("--workers", workers, "--model", "mnist-conv") as (url, _):
            pictures += [get(f"{url}/v1/sample?count=16&seed=7").content for _ in range(2)]
    assert pictures[0].startswith(b"\x89PNG") and len(set(pictures)) == 1


@pytest.mark.parametrize("workers", ["1", "2"])
def test_who_comes_before_the_models_are_warm_is_told_so_and_nobody_is_after(workers: str, tmp_path: Path) -> None:
    """SIGHUP comes too, as early as the process can hear it, and ends nothing."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    log = tmp_path / "log"
    models = ("--model", "mnist-mlp", "--model", "mnist-conv")
    with log.open("w") as out:
        process = subprocess.Popen([REPARAM, "serve", "--port", str(port), "--workers", workers, *models], stderr=out)
    try:
        wait_for(lambda: _blocks(process.pid, signal.SIGHUP))
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: _connects(port))
        before = 0
        while (answer := get(f"{url}/readyz")).status_code != 200:
            assert_problem(answer, 503, "starting")
            assert answer.headers["retry-after"] == "1"
            assert get(f"{url}/healthz").json() == {"status": "alive"}
            before += 1
        assert before
        for _ in range(50):
            assert get(f"{url}/v1/sample?model=mnist-mlp").status_code == 200
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    assert process.returncode == 0
    assert ("SIGHUP: reading the models anew" if workers == "1" else "SIGHUP: no worker has read") in log.read_text()


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_start_that_is_called_off_at_once_ends_as_a_stop_does(sent: signal.Signals) -> None:
    process = subprocess.Popen([REPARAM, "serve", "--port", str(free_port())], stderr=subprocess.PIPE, text=True)
    try:
        while not _blocks(process.pid, signal.SIGHUP):  # the first that it does
            assert process.poll() is None
        process.send_signal(sent)
        _, log = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, log) == (0, "")


def _blocks(pid: int, number: signal.Signals) -> bool:
    """Whether a signal waits, rather than end the process."""
    (mask,) = re.findall(r"^SigBlk:\t([0-9a-f]+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return bool(int(mask, 16) >> (number - 1) & 1)


def _connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=60).close()
    except ConnectionRefusedError:
        return False
    return True


def test_settings_come_from_the_environment(zoo: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(zoo / "mnist-mlp", mine)
    config = json.loads((mine / "config.json").read_text())
    (mine / "config.json").write_text(json.dumps(config | {"name": "mine"}))
    models = f"mnist-mlp,{mine}"
    with running(REPARAM_MODELS=models, REPARAM_DEFAULT_MODEL="mine", REPARAM_MAX_SAMPLES="3") as (url, _):
        document = get(f"{url}/v1/models").json()
        assert document["default"] == "mine"
        assert [model["name"] for model in document["models"]] == ["mnist-mlp", "mine"]
        assert "expected at most 3" in get(f"{url}/v1/sample?count=4").json()["detail"]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_request_in_flight_is_finished_before_the_stop(workers: str) -> None:
    with running("--model", "mnist-mlp", "--workers", workers) as (url, process), httpx.Client(base_url=url) as client:

        def body():
            yield b'{"count": 4, '
            process.send_signal(signal.SIGTERM)
            yield b'"seed": 7}'

        answer = client.post("/v1/sample", content=body(), headers={"content-type": "application/json"})
        assert answer.status_code == 200
        assert process.wait(60) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_who_comes_when_none_are_taken_is_refused_at_once(workers: str) -> None:
    with running("--model", "mnist-mlp", "--workers", workers) as (url, process), httpx.Client(base_url=url) as client:

        def refused() -> bool:
            try:
                socket.create_connection((client.base_url.host, client.base_url.port)).close()
            except ConnectionRefusedError:
                return True
            return False

        def body():
            yield b'{"count": 4, '
            process.send_signal(signal.SIGTERM)
            wait_for(refused)
            assert process.poll() is None, "a connection is refused while another one's request is in flight"
            yield b'"seed": 7}'

        answer = client.post("/v1/sample", content=body(), headers={"content-type": "application/json"})
        assert answer.status_code == 200


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_bad_checkpoint_stops_the_start_in_one_line(zoo: Path, tmp_path: Path, workers: str) -> None:
    bad = tmp_path / "bad"
    shutil.copytree(zoo / "mnist-mlp", bad)
    weights = bytearray((bad / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (bad / "model.safetensors").write_bytes(weights)
    end = _start("--model", f"{bad}/", "--workers", workers)
    assert end.returncode == STARTUP_FAILURE
    told = [line for line in (end.stdout + end.stderr).splitlines() if "expected sha256" in line]
    assert len(told) == 1 and "model.safetensors" in told[0]
    assert "Traceback" not in end.stdout + end.stderr


def test_a_checkpoint_that_is_not_there_says_where_it_was_looked_for() -> None:
    end = _start("--model", "/nowhere/at/all")
    assert end.returncode != 0 and "/nowhere/at/all: expected a checkpoint folder, found nothing" in end.stderr


@pytest.mark.parametrize(
    ("name", "value"), [("REPARAM_PORT", "many"), ("REPARAM_WORKERS", "0"), ("REPARAM_MAX_IMAGES", "-1")]
)
def test_a_bad_setting_is_one_line(name: str, value: str) -> None:
    command = [REPARAM, "serve"]
    end = subprocess.run(command, env=os.environ | {name: value}, capture_output=True, text=True, timeout=60)
    assert end.returncode == 1
    assert end.stderr.startswith("error: settings") and end.stderr.count("\n") == 1 and repr(value) in end.stderr


def test_a_setting_whose_name_is_misspelt_is_one_line() -> None:
    environment = os.environ | {"REPARAM_API_KEY": "which-would-be-asked-of-nobody", "REPARAM_SERVICE_HOST": "10.0.0.1"}
    end = subprocess.run([REPARAM, "serve"], env=environment, capture_output=True, text=True, timeout=60)
    assert end.returncode == 1 and end.stderr.count("\n") == 1
    assert end.stderr.startswith("error: REPARAM_API_KEY:") and "REPARAM_API_KEYS?" in end.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_device_that_is_not_there_is_one_line(workers: str) -> None:
    end = _start("--model", "mnist-mlp", "--workers", workers, REPARAM_DEVICE="cuda")
    assert end.returncode == STARTUP_FAILURE and "Traceback" not in end.stderr
    assert len(re.findall("device: expected a CUDA device", end.stderr)) == 1
