"""Where checkpoints lie, and writing that happens whole or not at all, whatever interrupts it."""

import ctypes
import errno
import os
import shutil
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

AT_FDCWD = -100
RENAME_EXCHANGE = 2  # linux/fs.h
ZOO = Path(__file__).resolve().parent / "zoo"


def checkpoint_folder(model: str) -> Path:
    """Where a checkpoint lies that is named by its name in the zoo, or by a path (with a /)."""
    return Path(model) if "/" in model or not model else ZOO / model


def shipped_names() -> list[str]:
    """The names of the checkpoints in the zoo, in alphabetical order."""
    return sorted(path.parent.name for path in ZOO.glob("[!.]*/config.json"))


def write_atomically(path: Path, data: bytes) -> None:
    """Put `data` at `path`: written beside it, flushed to the disk, renamed over it.

    Raises: OSError: if it cannot be written; what was at `path` is then as it was.
    """
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=_unfinished(path))
    try:
        with os.fdopen(handle, "wb") as file:
            _write_through(file.fileno(), data)
        os.chmod(beside, 0o644)  # noqa: PTH101  mkstemp makes files that only their owner reads
        os.replace(beside, path)  # noqa: PTH105
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_folder_atomically(folder: Path, files: Mapping[str, bytes], own: Collection[str] | None = None) -> None:
    """Make `folder` hold `files`: written beside it, flushed to the disk, exchanged with it.

    Args:
        own: the names that the folder's other files can have that go; whatever has another name is somebody else's, and
            stays. None: all of them go.
    Raises: OSError: if it cannot be written; what was at `folder` is then as it was.
    """
    folder = folder.resolve()  # a link to the folder stays a link
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=_unfinished(folder)))
    try:
        for name, data in files.items():
            with (beside / name).open("wb") as file:
                _write_through(file.fileno(), data)
            (beside / name).chmod(0o644)
        beside.chmod(0o755)
        _sync_folder(beside)
        _swap(beside, folder)
    finally:
        if beside.exists():  # the old one, or where something failed the new one
            _retire(beside, folder, None if own is None else {*own, *files})
    _sync_folder(folder.parent)


def remove_unfinished(path: Path, own: Collection[str] | None = None) -> None:
    """Remove what a killed process left beside `path`, which nothing else may be writing now. Raises: OSError.

    Args:
        own: as in `write_folder_atomically`.
    """
    prefix = _unfinished(path)
    for beside in path.parent.iterdir():
        # Eight characters are what tempfile appends; `.old` below is not among them.
        if beside.name.startswith(prefix) and len(beside.name) == len(prefix) + 8:
            _retire(beside, path, own) if beside.is_dir() else beside.unlink()


def _unfinished(path: Path) -> str:
    """How the names begin of what is being written beside a path."""
    return f".{path.name}.unfinished-"


def _retire(old: Path, folder: Path, own: Collection[str] | None) -> None:
    """Remove a folder whose place another has; what in it is somebody else's goes over to that one."""
    if own is not None:
        for entry in list(old.iterdir()):
            if entry.name not in own and not os.path.lexists(folder / entry.name):
                entry.rename(folder / entry.name)
    shutil.rmtree(old, ignore_errors=True)


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
