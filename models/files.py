"""Where checkpoints lie, and writing that happens whole or not at all, whatever interrupts it."""

import ctypes
import errno
import os
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from stat import S_IMODE

from models.errors import CheckpointError

AT_FDCWD = -100
RENAME_EXCHANGE = 2  # linux/fs.h
ZOO = Path(__file__).resolve().parent / "zoo"


def checkpoint_folder(model: str) -> Path:
    """Where a checkpoint lies that is named by its name in the zoo, or by a path (with a /).

    Raises: CheckpointError: if it is not named at all.
    """
    if not model:
        raise CheckpointError("expected the name or the folder of a checkpoint, found an empty name")
    return Path(model) if "/" in model else ZOO / model


def shipped_names() -> list[str]:
    """The names of the checkpoints in the zoo, in alphabetical order."""
    return sorted(path.parent.name for path in ZOO.glob("[!.]*/config.json"))


def write_atomically(path: Path, data: bytes) -> None:
    """Put `data` at `path`: written beside it, flushed to the disk, renamed over it, with the permissions of what was
    there.

    Raises: OSError: if it cannot be written; what was at `path` is then as it was.
    """
    beside = _beside(path)
    try:
        _write_beside(beside, data, _mode(path))
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_folder_atomically(
    folder: Path,
    files: Mapping[str, bytes],
    own: Collection[str],
    check: Callable[[], object] = lambda: None,
) -> None:
    """Make `folder` hold `files`: written beside it, flushed to the disk, exchanged with it; each with the permissions
    of what was there.

    Args:
        own: the names that the folder's other files can have that go; whatever has another name is somebody else's, and
            stays.
        check: is called right before the exchange, which does not happen if it raises.
    Raises: OSError: if it cannot be written, or what is somebody else's cannot be moved; what was at `folder` is then
        as it was.
    """
    folder = folder.resolve()  # a link to the folder stays a link
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    own = {*own, *files}
    beside = _beside(folder)
    mode = _mode(folder)
    beside.mkdir(0o777 if mode is None else mode | 0o700)
    try:
        for name, data in files.items():
            _write_beside(beside / name, data, _mode(folder / name))
        if mode is not None:
            beside.chmod(mode)
        _sync_folder(beside)
        _check_movable(folder, own)
        check()
        _swap(beside, folder)
    finally:
        for left in _left(folder):
            _rescue(left, folder, own)
        if beside.exists():  # the old one, or where something failed the new one
            _remove(beside, own)
    _sync_folder(folder.parent)


def check_writable(path: Path) -> None:
    """Raises: OSError: if nothing can be written beside `path`, as all that is written atomically is at first."""
    path = path.resolve()
    beside = _beside(path)
    beside.mkdir()
    beside.rmdir()


def remove_unfinished(path: Path, own: Collection[str]) -> None:
    """Remove what a killed process left beside `path`, which nothing else may be writing now. Raises: OSError.

    Args:
        own: as in `write_folder_atomically`.
    """
    for left in _left(path):
        if left.is_dir():
            _rescue(left, path, own)
            _remove(left, own)
        else:
            left.unlink()


def _unfinished(path: Path) -> str:
    """How the names begin of what is being written beside a path."""
    return f".{path.name}.unfinished-"


def _beside(path: Path) -> Path:
    """Where to write what is to be at a path."""
    return path.parent / (_unfinished(path) + token_hex(4))


def _mode(path: Path) -> int | None:
    """Who may read and write what is at a path; None: there is nothing."""
    try:
        return S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return None


def _write_beside(path: Path, data: bytes, mode: int | None) -> None:
    """A new file, flushed to the disk, never with more permissions than these; None: those that the umask gives."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666 if mode is None else mode)
    with os.fdopen(descriptor, "wb") as file:
        _write_through(file.fileno(), data)
        if mode is not None:
            os.fchmod(file.fileno(), mode)


def _left(path: Path) -> list[Path]:
    """What was or is being written beside a path."""
    prefix = _unfinished(path)
    # Eight digits follow; `.old` below is not among them.
    return [one for one in path.parent.iterdir() if one.name.startswith(prefix) and len(one.name) == len(prefix) + 8]


def _check_movable(folder: Path, own: Collection[str]) -> None:
    """Raises: PermissionError: if a folder in it is somebody else's and may not be moved."""
    for entry in _others(folder, own):
        if entry.is_dir() and not (entry.is_symlink() or os.access(entry, os.W_OK)):
            raise PermissionError(errno.EACCES, "expected to be able to move it", str(entry))


def _rescue(old: Path, folder: Path, own: Collection[str]) -> None:
    """Move somebody else's over from a folder to the one that took its place. Where another does so, too, one of both
    finds nothing.
    """
    if not folder.is_dir():
        return
    with suppress(OSError):
        for entry in _others(old, own):
            if not os.path.lexists(folder / entry.name):
                with suppress(OSError):
                    entry.rename(folder / entry.name)


def _others(folder: Path, own: Collection[str]) -> list[Path]:
    """What in a folder is somebody else's; nothing, if there is no such folder any more."""
    try:
        return [entry for entry in folder.iterdir() if entry.name not in own]
    except FileNotFoundError:
        return []


def _remove(old: Path, own: Collection[str]) -> None:
    """Remove a folder, unless somebody else's is still in it."""
    for name in own:
        (old / name).unlink(missing_ok=True)
    with suppress(OSError):
        old.rmdir()


def _write_through(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.fsync(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _swap(new: Path, target: Path) -> None:
    """Put `new` at `target`; what was there, if anything, is then at `new`."""
    if not target.exists():
        new.rename(target)
        return
    exchange = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if exchange and not exchange(AT_FDCWD, os.fsencode(new), AT_FDCWD, os.fsencode(target), RENAME_EXCHANGE):
        return
    # Where the system cannot exchange two folders (macOS, some network drives) there is an instant without one.
    aside = new.with_name(new.name + ".old")
    target.rename(aside)
    try:
        new.rename(target)
    except OSError:
        aside.rename(target)
        raise
    aside.rename(new)
