"""Getting MNIST's four files from its public mirrors."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from models.data.mnist import SHA256, find_file
from models.data.unpacked import sha256_unpacked
from models.errors import DataError

# httpx comes with the training extra. Here and below it is imported where it is used, so that data which is
# already there can be read without it.
if TYPE_CHECKING:
    import httpx

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)
MAX_CONTENT_BYTES = 64 << 20  # the largest, MNIST's training images, has 47 million; a gzip bomb stops here


@dataclass(frozen=True)
class FetchEvent:
    """Something that a person who waits for a fetch wants to see.

    kept: the file was there and right.
    bytes: `done_bytes` have come. failed: one mirror did not give it. fetched: it is in its place.
    """

    file: str
    kind: Literal["kept", "bytes", "failed", "fetched"]
    detail: str  # the path or mirror, and what went wrong with it
    done_bytes: int = 0
    total_bytes: int | None = None  # None where the mirror does not say


FetchCallback = Callable[[FetchEvent], None]


def no_progress(_: FetchEvent) -> None:
    """Show nothing."""


def fetch_mnist(
    folder: Path,
    mirrors: Sequence[str] = MIRRORS,
    progress: FetchCallback = no_progress,
    *,
    sha256: Mapping[str, str] = SHA256,
    timeout_s: float = 30.0,
    proxies_from_environment: bool = False,
) -> list[Path]:
    """Put MNIST's files into `folder`, as `NAME.gz`. Files which are there are left alone.

    Each comes from the first mirror that gives the right bytes. A `NAME.gz.part` of an interrupted fetch is
    resumed. A file has its final name only when it is whole, right and on the disk.

    Args:
        sha256: the names of the files, and the sha256 of their decompressed content.
        timeout_s: seconds in which a mirror must answer, and between two pieces of its answer.
        proxies_from_environment: whether HTTPS_PROXY and its like are asked.
    Returns: where the files are, in the order of `sha256`.
    Raises: DataError: if a file of such a name is there and is another, which somebody may have no copy of; if all
        mirrors fail, saying how each did; if a file cannot be written.
    """
    folder = Path(folder)
    order = list(mirrors)
    paths = []
    try:
        there = {name: find_file(folder, name) for name in sha256}
        if others := [wrong for name, path in there.items() if path and (wrong := _wrong(path, sha256[name]))]:
            raise DataError(f"{'; '.join(others)}: move such files away, or fetch MNIST into another folder")
        folder.mkdir(parents=True, exist_ok=True)
        with _client(timeout_s, proxies_from_environment) as client:
            for name, expected in sha256.items():
                path = there[name]
                if path is None:
                    path = folder / f"{name}.gz"
                    mirror = _fetch_one(client, order, path, expected, progress)
                    # It works: ask it first for the next file, rather than wait again for those that do not.
                    order = [mirror, *(each for each in order if each != mirror)]
                else:
                    progress(FetchEvent(path.name, "kept", str(path)))
                paths.append(path)
    except OSError as error:
        path = error.filename2 or error.filename or folder
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from error
    return paths


def _fetch_one(client: "httpx.Client", mirrors: list[str], path: Path, expected: str, progress: FetchCallback) -> str:
    """Fetch one file into its place. Returns: the mirror it came from."""
    from models.data.download import MirrorError

    part = path.with_name(f"{path.name}.part")
    failures = []
    for mirror in mirrors:
        try:
            _fetch_from(client, mirror, path.name, part, expected, progress)
        except MirrorError as error:
            failures.append(f"{mirror}: {error}")
            progress(FetchEvent(path.name, "failed", failures[-1]))
            continue
        # On the disk before it has the name: a power cut must not leave a file that looks whole.
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
        progress(FetchEvent(path.name, "fetched", mirror))
        return mirror
    raise DataError(f"{path}: no mirror gave it: {'; '.join(failures) or 'no mirror was named'}")


def _fetch_from(
    client: "httpx.Client", mirror: str, name: str, part: Path, expected: str, progress: FetchCallback
) -> None:
    """Make `part` the right file, with the help of one mirror."""
    from models.data.download import MirrorError, download

    def report(done_bytes: int, total_bytes: int | None) -> None:
        progress(FetchEvent(name, "bytes", mirror, done_bytes, total_bytes))

    if part.exists() and not _wrong(part, expected):
        return  # interrupted between the last byte and the final name
    for _ in range(2):
        in_one_piece = download(client, f"{mirror.rstrip('/')}/{name}", part, report)
        wrong = _wrong(part, expected)
        if not wrong:
            return
        part.unlink()
        if in_one_piece:
            break
        # Pieces of two different files, perhaps of two mirrors: the whole from this one may still be right.
    raise MirrorError(f"wrong bytes: {wrong}")


def _wrong(path: Path, expected: str) -> str:
    """What is wrong with a file's content; an empty string if it is right."""
    try:
        found = sha256_unpacked(path, MAX_CONTENT_BYTES)
    except DataError as error:
        return str(error)
    return "" if found == expected else f"{path}: expected sha256 {expected}, found {found}"


def _client(timeout_s: float, proxies_from_environment: bool) -> "httpx.Client":
    try:
        import httpx
    except ImportError as error:
        raise DataError("fetching needs httpx, which is not installed: pip install 'reparam[train]'") from error
    try:
        return httpx.Client(follow_redirects=True, timeout=timeout_s, trust_env=proxies_from_environment)
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        # SOCKS without its package, a scheme that httpx does not know, or no URL at all.
        raise DataError(f"the proxy that the environment names cannot be used: {error}") from error
