"""The folder in which the workers of a service share their figures."""

import errno
import fcntl
import logging
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from app import metrics
from models.errors import ReparamError

SHARED_MEMORY = "/dev/shm"  # noqa: S108  a private folder is made there
PREFIX = "reparam-metrics-"
ROOM = 300_000  # bytes that a worker's figures take, of every shipped model
NEW_S = 60  # a folder that is younger may be about to be held

logger = logging.getLogger(__name__)


class SharedFigures:
    """A folder in which workers share their figures, in memory if there is any.

    It is there, and this process's, within `with`. Where there is no folder for temporary files, beside it is one for
    multiprocessing's socket. Raises: ReparamError: if none can be made.
    """

    def __init__(self, workers: int) -> None:
        self._room = workers * ROOM

    def __enter__(self) -> Self:
        try:
            parent = self._parent()
            self._folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
            self._held = _lock(self._folder)
        except OSError as error:
            raise ReparamError(
                f"metrics of several workers: expected {SHARED_MEMORY} or a folder for temporary files that can be "
                f"written and has {self._room // 1000} kB of room, found neither: {error}"
            ) from error
        os.environ[metrics.FOLDER] = str(self._folder)
        self._temporary = tempfile.tempdir
        try:
            tempfile.gettempdir()
        except OSError:
            tempfile.tempdir = str(parent)
        return self

    def __exit__(self, *error: object) -> None:
        tempfile.tempdir = self._temporary
        shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._held)

    def _parent(self) -> Path:
        """Where there is room. Raises: OSError: if there is none anywhere."""
        if os.access(SHARED_MEMORY, os.W_OK) and self._fits(memory := Path(SHARED_MEMORY)):
            return memory
        parent = Path(tempfile.gettempdir())
        if self._fits(parent):
            return parent
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(parent))

    def _fits(self, parent: Path) -> bool:
        """Whether there is room, once what nobody needs is gone. Else a worker would end when it writes (SIGBUS)."""
        _sweep(parent)
        disk = os.statvfs(parent)
        return disk.f_bavail * disk.f_frsize >= self._room

    def renew(self) -> None:
        """Make the folder again where something has removed it: without it no worker could start."""
        with suppress(OSError):  # it is there, or cannot be made now
            self._folder.mkdir(0o700)
            held = _lock(self._folder)
            os.close(self._held)
            self._held = held
            logger.error(
                "%s was removed, and is made again: the metrics of workers that run are lost until they are replaced",
                self._folder,
            )


def _sweep(parent: Path) -> None:
    """Remove the folders of supervisors that were killed: those that nobody holds, but for the newest, yet to be."""
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):  # another user's, or one that is held
            if time.time() - folder.stat().st_mtime > NEW_S:
                held = _lock(folder)
                shutil.rmtree(folder, ignore_errors=True)
                os.close(held)


def _lock(folder: Path) -> int:
    """Hold a folder until the descriptor is closed, or the process ends. Raises: OSError: if another one does."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
