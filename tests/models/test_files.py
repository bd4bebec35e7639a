import os
import resource
import stat
import time
from pathlib import Path
from random import Random

import pytest

from models import files
from models.files import remove_unfinished, write_atomically, write_folder_atomically
from tests.processes import start, start_writer

OWN = ("a", "b", "c")
OLD = {"a": b"old", "b": b"old too"}
NEW = {"a": b"new", "c": b"new too"}
SIZE = 1_000_000


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_file_is_made_and_replaced(tmp_path: Path) -> None:
    for data in (b"one", b"", b"three" * 1000):
        write_atomically(tmp_path / "file", data)
        assert contents(tmp_path) == {"file": data}


def test_a_folder_is_made_and_replaced_whole(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "folder"
    for expected in (OLD, NEW, {}):
        write_folder_atomically(folder, expected, OWN)
        assert contents(folder) == expected
        assert [path.name for path in folder.parent.iterdir()] == ["folder"]


@pytest.mark.parametrize(("umask", "of_files", "of_folders"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700)])
def test_who_may_read_is_said_by_the_umask_and_then_by_what_is_replaced(
    tmp_path: Path, umask: int, of_files: int, of_folders: int
) -> None:
    folder, file = tmp_path / "folder", tmp_path / "file"

    def modes() -> list[int]:
        return [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "a", file)]

    def write() -> None:
        write_folder_atomically(folder, NEW, OWN)
        write_atomically(file, b"data")

    before = os.umask(umask)
    try:
        write()
        assert modes() == [of_folders, of_files, of_files]
        folder.chmod(0o750)
        (folder / "a").chmod(0o640)
        file.chmod(0o604)
        write()
        assert modes() == [0o750, 0o640, 0o604]
        folder.chmod(0o550)
        write()
        assert modes() == [0o550, 0o640, 0o604]
        folder.chmod(0o750)
    finally:
        os.umask(before)


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link, target = tmp_path / "link", tmp_path / "elsewhere" / "folder"
    link.symlink_to(target)
    for expected in (OLD, NEW):
        write_folder_atomically(link, expected, OWN)
        assert link.is_symlink()
        assert contents(target) == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "link"]
    assert [path.name for path in target.parent.iterdir()] == ["folder"]


def test_a_relative_folder_is_where_the_process_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for expected in (OLD, NEW):
        write_folder_atomically(Path("folder"), expected, OWN)
        assert contents(tmp_path / "folder") == expected


def test_a_file_is_never_replaced_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"data")
    with pytest.raises(NotADirectoryError, match="file"):
        write_folder_atomically(tmp_path / "file", NEW, OWN)
    assert contents(tmp_path) == {"file": b"data"}


def test_folders_are_replaced_where_the_system_cannot_exchange_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files.ctypes, "CDLL", lambda *_, **__: object())  # a C library without renameat2
    for expected in (OLD, NEW):
        write_folder_atomically(tmp_path / "folder", expected, OWN)
        assert contents(tmp_path / "folder") == expected
        assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def _write_beyond_the_limit(folder: Path) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
    for write in (
        lambda: write_folder_atomically(folder / "folder", {"a": b"small", "b": b"large" * SIZE}, OWN),
        lambda: write_atomically(folder / "file", b"large" * SIZE),
    ):
        try:
            write()
        except OSError:
            continue
        os._exit(1)


def test_a_write_that_fails_leaves_what_was_there_and_nothing_beside(tmp_path: Path) -> None:
    write_folder_atomically(tmp_path / "folder", OLD, OWN)
    write_atomically(tmp_path / "file", b"old")
    process = start(_write_beyond_the_limit, tmp_path)
    process.join()
    assert process.exitcode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
    assert contents(tmp_path / "folder") == OLD
    assert (tmp_path / "file").read_bytes() == b"old"


def _write_for_ever(folder: Path) -> None:
    while True:
        for byte in (b"0", b"1"):
            write_folder_atomically(folder / "folder", {"a": byte * SIZE, "b": byte}, OWN)
            write_atomically(folder / "file", byte * SIZE)


def test_a_process_killed_at_any_instant_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    random, seen = Random(0), set()
    write_folder_atomically(tmp_path / "folder", {"a": b"0" * SIZE, "b": b"0"}, OWN)
    write_atomically(tmp_path / "file", b"0" * SIZE)
    for _ in range(25):
        process = start_writer(_write_for_ever, tmp_path, tmp_path / "file")
        time.sleep(random.uniform(0, 0.1))
        process.kill()
        process.join()
        found = contents(tmp_path / "folder")
        assert found in [{"a": byte * SIZE, "b": byte} for byte in (b"0", b"1")]
        assert (tmp_path / "file").read_bytes() in (b"0" * SIZE, b"1" * SIZE)
        seen |= {path.name[:6] for path in tmp_path.iterdir()}
        for name in ("folder", "file"):
            remove_unfinished(tmp_path / name, OWN)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
    assert len(seen) > 2  # some were killed while writing


def test_only_what_was_being_written_is_removed(tmp_path: Path) -> None:
    mine = (
        "file",
        ".file",
        ".file.txt",
        ".file.20250101",
        ".file.unfinished-abcdefgh.old",
        ".files.unfinished-abcdefgh",
    )
    for name in mine:
        (tmp_path / name).write_bytes(b"mine")
    (tmp_path / ".file.unfinished-abcdefgh").write_bytes(b"unfinished")
    remove_unfinished(tmp_path / "file", OWN)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(mine)


def test_what_is_somebody_elses_in_a_folder_outlives_its_exchange(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    write_folder_atomically(folder, OLD, OWN)
    (folder / "theirs").write_bytes(b"theirs")
    write_folder_atomically(folder, NEW, own=("a", "b"))
    assert contents(folder) == NEW | {"theirs": b"theirs"}
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_so_does_it_where_a_process_was_killed_after_the_exchange(tmp_path: Path) -> None:
    folder, old = tmp_path / "folder", tmp_path / ".folder.unfinished-abcdefgh"
    write_folder_atomically(folder, NEW, OWN)
    write_folder_atomically(old, OLD | {"theirs": b"theirs"}, OWN)
    remove_unfinished(folder, own=OWN)
    assert contents(folder) == NEW | {"theirs": b"theirs"}
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_the_next_exchange_brings_it_back_and_never_over_what_is_there(tmp_path: Path) -> None:
    folder, old = tmp_path / "folder", tmp_path / ".folder.unfinished-abcdefgh"
    write_folder_atomically(folder, NEW | {"made anew": b"new"}, OWN)
    write_folder_atomically(old, OLD | {"theirs": b"theirs", "made anew": b"old"}, OWN)
    write_folder_atomically(folder, OLD, own=OWN)
    assert contents(folder) == OLD | {"theirs": b"theirs", "made anew": b"new"}
    remove_unfinished(folder, own=OWN)
    assert contents(old) == {"made anew": b"old"}


def test_a_check_that_fails_before_the_exchange_leaves_what_was_there(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    write_folder_atomically(folder, OLD, OWN)

    def refuse() -> None:
        raise ValueError("exchanged meanwhile")

    with pytest.raises(ValueError, match="exchanged meanwhile"):
        write_folder_atomically(folder, NEW, own=OWN, check=refuse)
    assert contents(folder) == OLD
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_folder_that_cannot_be_moved_stops_the_exchange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder"
    write_folder_atomically(folder, OLD, OWN)
    (folder / "export").mkdir()
    monkeypatch.setattr(files.os, "access", lambda *_: False)  # root may write everywhere
    with pytest.raises(PermissionError, match="export"):
        write_folder_atomically(folder, NEW, own=OWN)
    assert sorted(path.name for path in folder.iterdir()) == ["a", "b", "export"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
