"""One file over HTTP, which goes on where it was cut."""

import re
from collections.abc import Callable
from pathlib import Path

import httpx

ATTEMPTS = 4  # on one server: the first, and three that resume after a cut
MAX_BYTES = 16 << 20  # the largest file, of MNIST's training images, has 9.9 million bytes
CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})")


class MirrorError(Exception):
    """One server did not give the file; another one may."""


def download(client: httpx.Client, url: str, part: Path, report: Callable[[int, int | None], None]) -> bool:
    """Make `part` the whole of what `url` serves, going on from the bytes it already holds.

    A cut connection is resumed. Any other failure is final for this server, and leaves in `part` what another
    server may go on from.

    Args:
        report: called with the bytes that are there and, where the server says it, the bytes of the whole.
    Returns: whether `part` came in one piece. If not, its pieces may be of different files.
    Raises:
        MirrorError: if the server does not give the file.
        OSError: if `part` cannot be read or written.
    """
    etag = ""  # of the bytes that this call wrote; nobody knows where older ones are from
    cut = ""
    for _ in range(ATTEMPTS):
        start = part.stat().st_size if part.exists() else 0
        headers = {"Range": f"bytes={start}-"} if start else {}
        if start and etag:
            headers["If-Range"] = etag
        try:
            # The raw bytes are wanted: `.gz` is the file here, not a way to transfer it.
            with client.stream("GET", url, headers={"Accept-Encoding": "identity"} | headers) as answer:
                if answer.status_code == 416 and start:
                    # Nothing follows the bytes in `part`, and they were not right: they are of another file.
                    part.unlink()
                    cut = f"no bytes from byte {start:,}"
                    continue
                begin, total = _extent(answer, start)
                etag = _strong(answer.headers.get("ETag", ""))
                size = _append(answer, part, begin, total, report)
        except (httpx.RemoteProtocolError, httpx.ReadError) as error:
            cut = _one_line(error)
            continue
        except httpx.TimeoutException as error:
            raise MirrorError(f"no answer in time ({type(error).__name__})") from error
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            # UnicodeError is what a host name gets that cannot be one, such as "a..b".
            raise MirrorError(_one_line(error)) from error
        if total is None or size >= total:
            return begin == 0
        cut = f"sent {size - begin:,} bytes from byte {begin:,}, of {total:,}"
    raise MirrorError(f"cut {ATTEMPTS} times, the last: {cut}")


def _extent(answer: httpx.Response, start: int) -> tuple[int, int | None]:
    """The byte that an answer begins with, and how many bytes the whole file has, if the server says."""
    if answer.status_code == 200:  # the whole file, asked for or not
        length = answer.headers.get("Content-Length")
        begin, total = 0, int(length) if length else None
    elif answer.status_code == 206:
        found = answer.headers.get("Content-Range", "")
        match = CONTENT_RANGE.fullmatch(found)
        if match is None or int(match[1]) != start:
            raise MirrorError(f"expected the bytes from {start}, found Content-Range {found[:80]!r}")
        begin, total = start, int(match[2])
    else:
        raise MirrorError(f"HTTP {answer.status_code} {answer.reason_phrase}".strip())
    if total is not None and total > MAX_BYTES:
        raise MirrorError(f"expected at most {MAX_BYTES:,} bytes, found {total:,}")
    return begin, total


def _append(
    answer: httpx.Response,
    part: Path,
    begin: int,
    total: int | None,
    report: Callable[[int, int | None], None],
) -> int:
    """Write the body after the first `begin` bytes of `part`. Returns: how many bytes `part` then has."""
    size = begin
    report(size, total)
    with part.open("ab" if begin else "wb") as file:
        for chunk in answer.iter_raw():
            size += len(chunk)
            if size > MAX_BYTES:
                break
            file.write(chunk)
            report(size, total)
    if size > MAX_BYTES:
        part.unlink()
        raise MirrorError(f"expected at most {MAX_BYTES:,} bytes, found more")
    return size


def _strong(etag: str) -> str:
    """A weak tag (`W/"…"`) promises the same meaning, not the same bytes, and may not go into If-Range."""
    return etag if etag.startswith('"') else ""


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
