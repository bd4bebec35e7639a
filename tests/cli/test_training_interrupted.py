import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest

from models.checkpoint import load_checkpoint
from models.training.state import read_run_state
from tests.models.training.recipes import write_recipe
from tests.models.training.test_reporting import assert_they_agree
from tests.processes import ENVIRONMENT, finished, start_reparam

EPOCHS = 6


class Run:
    """A run of `reparam train` in a folder of its own."""

    def __init__(self, folder: Path, data: Path, **changes: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.out, self.output = folder / "run", folder
        self.recipe = write_recipe(folder / "tiny.toml", **({"training__epochs": EPOCHS} | changes))
        self.arguments = ["train", str(self.recipe), "--data", str(data), "--out", str(self.out), "--threads", "1"]

    def start(self, *options: str) -> Any:
        return start_reparam([*self.arguments, *options], self.output)

    def finish(self, *options: str) -> None:
        process = self.start(*options)
        process.join()
        assert process.exitcode == 0, finished(process, self.output)

    def epochs(self) -> int:
        """How many the state says are done."""
        progress = read_run_state(self.out)
        return progress.epoch if progress else 0

    def result(self) -> dict[str, Any]:
        """What must not depend on how often the run was interrupted."""
        lines = [json.loads(line) for line in (self.out / "metrics.jsonl").read_text().splitlines()]
        checkpoint = self.out / "checkpoint"
        return {
            "lines": [line | {"images_per_s": None} for line in lines],
            "files": {path.name: path.read_bytes() for path in checkpoint.iterdir()},
            "names": sorted(path.name for path in self.out.iterdir()),
        }


@pytest.fixture(scope="module")
def whole(mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], float]:
    """What an uninterrupted run gives, and roughly how many seconds it takes."""
    run = Run(tmp_path_factory.mktemp("whole"), mnist)
    run.finish("--resume")  # where nothing was saved yet, it begins
    began = time.monotonic()
    run = Run(tmp_path_factory.mktemp("timed"), mnist)
    run.finish()
    return run.result(), time.monotonic() - began


@pytest.mark.parametrize("seed", [0, 1])
def test_a_run_killed_at_any_instant_ends_as_one_that_was_not(
    tmp_path: Path, mnist: Path, whole: tuple[dict[str, Any], float], seed: int
) -> None:
    expected, seconds = whole
    random = Random(seed)
    for attempt in range(10):  # a run that was timed on a busy machine may end before it is killed on an idle one
        run, kills = Run(tmp_path / str(attempt), mnist), 0
        for _ in range(4):
            process = run.start("--resume")
            process.join(random.uniform(0.1, 0.8) * seconds)
            if process.exitcode is None:
                process.kill()
                process.join()
            kills += process.exitcode == -signal.SIGKILL
            if (run.out / "checkpoint").exists():
                load_checkpoint(run.out / "checkpoint")
        if kills:
            break
        seconds /= 2
    run.finish("--resume")
    assert kills > 0
    assert run.result() == expected
    assert_they_agree(run.out)


def test_a_run_killed_while_it_saves_ends_as_one_that_was_not(
    tmp_path: Path, mnist: Path, whole: tuple[dict[str, Any], float]
) -> None:
    run = Run(tmp_path, mnist)
    for begun in (".checkpoint.", ".state.safetensors.", ".metrics.jsonl.", "checkpoint", "state.safetensors"):
        process = run.start("--resume")
        while process.exitcode is None and not any(name.startswith(begun) for name in _names(run.out)):
            time.sleep(0.0005)
        process.kill()
        process.join()
    run.finish("--resume")
    assert run.result() == whole[0]
    assert_they_agree(run.out)


def test_a_convolutional_run_in_half_precision_from_a_start_ends_as_one_that_was_not_interrupted(
    tmp_path: Path, mnist: Path
) -> None:
    """Killed after each of its first epochs, and the start is gone once the run has begun."""
    network = {"channels": [4], "blocks": [1]}
    changes: dict[str, Any] = {
        "model__architecture": {"encoder": network, "latents": 4, "decoder": network},
        "objective": {"kind": "iwae", "samples": 2},
        "training__batch_size": 190,
        "training__average_decay": 0.9,
        "training__clip_norm": 100.0,
        "training__precision": "bfloat16",
    }
    begun = Run(tmp_path / "begun", mnist, **changes, training__epochs=1)
    begun.finish()
    start, flow = begun.out / "checkpoint", {"kind": "flow", "couplings": 2, "hidden": [8]}
    changes |= {"start": str(start), "model__prior": flow, "training__epochs": 3}
    expected = Run(tmp_path / "whole", mnist, **changes)
    expected.finish()
    run = Run(tmp_path / "killed", mnist, **changes)
    for epochs in (1, 2):
        process = run.start("--resume")
        while process.exitcode is None and run.epochs() < epochs:
            time.sleep(0.001)
        process.kill()
        process.join()
        shutil.rmtree(start, ignore_errors=True)
    run.finish("--resume")
    assert run.result() == expected.result()
    assert run.result()["lines"][-1]["epoch"] == 3


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()] if folder.exists() else []


def test_ctrl_c_is_one_line_and_status_130(tmp_path: Path, mnist: Path, whole: tuple[dict[str, Any], float]) -> None:
    run = Run(tmp_path, mnist, training__epochs=1_000_000)  # which does not end before the signal comes
    _interrupt(run, "epoch 1/1000000  ", 1)
    done = run.epochs()
    _interrupt(run, f"epoch {done + 1}/1000000  ", EPOCHS, "--resume")
    assert run.epochs() >= done + EPOCHS
    assert run.result()["lines"][:EPOCHS] == whole[0]["lines"]


def _interrupt(run: Run, begins: str, epochs: int, *options: str) -> None:
    """Start the run, which must begin with that line, and press Ctrl-C after as many epochs."""
    command = [str(Path(sys.executable).with_name("reparam")), *run.arguments, *options]
    environment = {**os.environ, **ENVIRONMENT}
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    try:
        assert process.stderr is not None
        lines = [process.stderr.readline() for _ in range(epochs)]
        assert lines[0].startswith(begins), lines
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate()
    finally:
        process.kill()
    *more, last = stderr.splitlines()
    assert (process.returncode, stdout) == (130, "")
    assert last == f"interrupted: go on with --resume; {run.out} is as after the last whole epoch"
    assert all(line.startswith("epoch ") for line in lines + more)
    assert not any(name.startswith(".") for name in _names(run.out))
    load_checkpoint(run.out / "checkpoint")
    assert_they_agree(run.out)
