"""The folder in which workers share their figures."""

import os
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from app import figures, metrics
from app.cli.doctor import doctor
from app.figures import SharedFigures
from models.errors import ReparamError


def test_what_a_killed_supervisor_left_is_removed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "SHARED_MEMORY", str(tmp_path))
    monkeypatch.setenv(metrics.FOLDER, "")
    left, new, other = (tmp_path / name for name in ("reparam-metrics-left", "reparam-metrics-new", "other"))
    for folder in (left, new, other):
        folder.mkdir()
        (folder / "counter.db").write_bytes(b"1")
    long_ago = time.time() - 3600
    with SharedFigures(2):
        held = Path(os.environ[metrics.FOLDER])
        assert held.parent == tmp_path
        for folder in (left, held, other):
            os.utime(folder, (long_ago, long_ago))
        with SharedFigures(2):
            assert not left.exists()
            assert (new / "counter.db").exists() and (other / "counter.db").exists() and held.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"reparam-metrics-new", "other"}


def test_a_folder_that_something_removed_is_made_again_and_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(figures, "SHARED_MEMORY", str(tmp_path))
    monkeypatch.setenv(metrics.FOLDER, "")
    long_ago = time.time() - 3600
    with SharedFigures(2) as shared:
        folder = Path(os.environ[metrics.FOLDER])
        folder.rmdir()
        for _ in range(2):
            shared.renew()
        assert folder.stat().st_mode & 0o777 == 0o700 and len(caplog.records) == 1
        os.utime(folder, (long_ago, long_ago))
        with SharedFigures(2):
            assert folder.exists()
    assert not list(tmp_path.iterdir())


def test_memory_that_is_nearly_full_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, disk = tmp_path / "memory", tmp_path / "disk"
    for folder in (memory, disk):
        folder.mkdir()
    room = dict.fromkeys((memory, disk), 300_000)  # for one worker, not for two
    monkeypatch.setattr(figures, "SHARED_MEMORY", str(memory))
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    monkeypatch.setattr(os, "statvfs", lambda folder: SimpleNamespace(f_bavail=room[folder] // 1000, f_frsize=1000))
    monkeypatch.setenv(metrics.FOLDER, "")

    def taken(workers: int) -> Path:
        with SharedFigures(workers):
            return Path(os.environ[metrics.FOLDER]).parent

    assert taken(1) == memory
    with pytest.raises(ReparamError, match=r"and has 600 kB of room, found neither: .*No space left on device: .*disk"):
        taken(2)
    room[disk] *= 2
    assert taken(2) == disk
    room[memory] *= 2
    assert taken(2) == memory


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither memory to share nor a folder for temporary files."""
    monkeypatch.setattr(figures, "SHARED_MEMORY", str(tmp_path / "nowhere"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", list)


@pytest.mark.usefixtures("nowhere")
def test_what_needs_a_temporary_file_has_memory_where_nothing_else_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "SHARED_MEMORY", str(tmp_path))
    monkeypatch.setenv(metrics.FOLDER, "")
    with SharedFigures(2):
        assert tempfile.gettempdir() == str(tmp_path)
    with pytest.raises(FileNotFoundError):
        tempfile.gettempdir()


@pytest.mark.usefixtures("nowhere")
def test_a_machine_on_which_nothing_can_be_written_is_told_of_in_a_line() -> None:
    with (
        pytest.raises(ReparamError, match=r"expected .*nowhere or a folder .*, found neither: .*No usable"),
        SharedFigures(2),
    ):
        pass


@pytest.mark.usefixtures("nowhere")
def test_doctor_asks_for_the_folder_where_there_will_be_several_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPARAM_MODELS", "mnist-mlp")
    monkeypatch.setenv("REPARAM_WORKERS", "1")
    doctor()
    monkeypatch.setenv("REPARAM_WORKERS", "2")
    with pytest.raises(ReparamError, match="found neither"):
        doctor()
