import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from models.checkpoint import load_checkpoint
from tests.conftest import ROOT
from tests.models.training.recipes import write_recipe
from tests.processes import ENVIRONMENT, Finished, run_reparam, start_reparam


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recipe(tmp_path_factory.mktemp("recipe") / "tiny.toml", training__epochs=3)


def arguments(recipe: Path, data: Path, out: Path) -> list[str]:
    return ["train", str(recipe), "--data", str(data), "--out", str(out), "--threads", "1", "--resume"]


def train(recipe: Path, data: Path, out: Path, file_bytes: int | None = None, output: Path | None = None) -> Finished:
    return run_reparam(arguments(recipe, data, out), output or out.parent, file_bytes)


def weights(out: Path) -> bytes:
    load_checkpoint(out / "checkpoint")
    return (out / "checkpoint" / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def whole(recipe: Path, mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run."""
    out = tmp_path_factory.mktemp("whole") / "run"
    assert train(recipe, mnist, out).status == 0
    return out


@pytest.fixture(scope="module")
def stopped(recipe: Path, mnist: Path, whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that had room for the checkpoint and the figures of its first epoch, but not for its state."""
    out = tmp_path_factory.mktemp("stopped") / "run"
    limit = (whole / "state.safetensors").stat().st_size - 1000  # of which the figures of an epoch take some
    end = train(recipe, mnist, out, limit)
    check(end, out)
    assert weights(out)
    assert not (out / "state.safetensors").exists()
    return out


def check(end: Finished, out: Path, why: str = "File too large") -> None:
    """A command that had no room says so in one line, after those of its epochs, and leaves nothing half-written."""
    assert (end.status, end.stdout) == (1, ""), end
    *epochs, last = end.stderr.splitlines()
    assert last.startswith(f"error: cannot write {out}")
    assert f"{why}; what was saved before is intact, make room and start again with --resume" in last
    assert all(line.startswith("epoch ") for line in epochs)
    assert not any(path.name.startswith(".") for path in out.iterdir())


def test_a_run_without_room_for_its_state_goes_on_when_there_is(
    stopped: Path, recipe: Path, mnist: Path, whole: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(stopped, tmp_path / "run")
    assert train(recipe, mnist, out).status == 0
    assert weights(out) == weights(whole)
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 3


@pytest.fixture(scope="module")
def begun(recipe: Path, mnist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was killed after it had saved an epoch."""
    out = tmp_path_factory.mktemp("begun") / "run"
    process = start_reparam(arguments(recipe, mnist, out), out.parent)
    while not (out / "state.safetensors").exists():
        time.sleep(0.001)
    process.kill()
    process.join()
    return out


# The bytes of a file: too few for the figures, for the model, for the state.
@pytest.mark.parametrize("limit", [300, 50_000, 200_000])
def test_a_file_that_may_not_grow_is_one_line_and_the_checkpoint_is_intact(
    begun: Path, recipe: Path, mnist: Path, tmp_path: Path, whole: Path, limit: int
) -> None:
    out = shutil.copytree(begun, tmp_path / "run")
    before = weights(out)
    check(train(recipe, mnist, out, limit), out)
    assert limit == 200_000 or weights(out) == before
    assert weights(out)
    assert train(recipe, mnist, out).status == 0
    assert weights(out) == weights(whole)
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 3


def fill(disk: Path, room: int) -> None:
    """Leave so many bytes of a disk."""
    filler = disk / "filler"
    try:
        with filler.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(4096))
    except OSError as error:
        assert error.errno == errno.ENOSPC
    os.truncate(filler, filler.stat().st_size - room)


def fill_a_small_disk(begun: Path, recipe: Path, data: Path, disk: Path) -> None:
    """In a mount namespace of its own: the run meets a disk with less room than it needs, and then one with enough."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], check=True)
    out = shutil.copytree(begun, disk / "run")
    before = weights(out)
    for room in (0, 8192, 180_000):  # for nothing, for the figures, for the model too
        fill(disk, room)
        check(train(recipe, data, out, output=disk.parent), out, "No space left on device")
        assert room == 180_000 or weights(out) == before
        assert weights(out)
    fill(disk, 0)
    command = [Path(sys.executable).with_name("reparam"), *arguments(recipe, data, out)]
    end = subprocess.run(command, capture_output=True, text=True)
    check(Finished(end.returncode, end.stdout, end.stderr), out, "No space left on device")
    (disk / "filler").unlink()
    assert train(recipe, data, out, output=disk.parent).status == 0
    shutil.copytree(out, disk.parent / "result")


def test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_room(
    begun: Path, recipe: Path, mnist: Path, tmp_path: Path, whole: Path
) -> None:
    unshare = shutil.which("unshare")
    if not unshare or subprocess.run([unshare, "--mount", "true"], capture_output=True).returncode:
        pytest.skip("only root can mount a small disk, in a mount namespace of its own")
    (tmp_path / "disk").mkdir()
    paths = [str(path) for path in (begun, recipe, mnist, tmp_path / "disk")]
    program = f"from {__name__} import *; fill_a_small_disk(*map(Path, sys.argv[1:]))"
    command = [unshare, "--mount", sys.executable, "-c", program, *paths]
    end = subprocess.run(command, cwd=ROOT, env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True)
    assert end.returncode == 0, end.stderr
    assert weights(tmp_path / "result") == weights(whole)
    assert len((tmp_path / "result" / "metrics.jsonl").read_text().splitlines()) == 3
    assert not list((tmp_path / "disk").iterdir())  # nothing of it was seen from here
