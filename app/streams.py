"""From a request's stream to its body: whole, expanded, and no larger than the limit."""

import zlib
from typing import Literal

import numpy as np
from anyio.lowlevel import checkpoint
from fastapi import Request
from starlette.requests import ClientDisconnect

from app.errors import BodyTooLargeError, CodingError, MalformedError
from app.headers import header, header_values
from app.settings import Settings
from app.stages import stage

Body = bytes | bytearray
Buffer = Body | memoryview  # what bytes lie in, with none of their methods
Limit = Literal["max_body_bytes", "max_json_bytes"]

# What zlib calls each coding: with gzip's header and checksum, or with its own (RFC 9110, section 8.4.1).
_WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
CODINGS = (*_WINDOWS, "identity")
_LONG = 2**20  # a body that is moved many times as it grows
_PIECE = 64 * 2**10  # of the expanded body, so that no step takes longer than the event loop can wait


async def read_body(request: Request, settings: Settings, limit: Limit = "max_body_bytes") -> Body:
    """The body of a request, as one object; a gzip or deflate coding is undone.

    The limit holds for what is received and for what it expands to.
    Raises: BodyTooLargeError; CodingError; MalformedError: if it is not coded as it says it is. ClientDisconnect.
    """
    most = min(settings.max_body_bytes, getattr(settings, limit))
    name = "max_body_bytes" if most == settings.max_body_bytes else limit
    coding = _coding(request)
    stated = header(request, b"content-length")
    if stated.isdecimal() and (len(stated) > 18 or int(stated) > most):
        raise _too_large(name, most, f"a Content-Length of {stated:.20}")
    with stage("read"):
        if coding == "identity":
            return await _received(request, _Whole(name, most))
        return await _expanded(request, coding, _Whole(name, most))


async def read_buffer(request: Request, settings: Settings) -> Buffer:
    """As `read_body`, for arrays: a long body whose length is stated has its place from the start."""
    stated = header(request, b"content-length")
    length = int(stated) if stated.isdecimal() and len(stated) <= 18 else 0
    if _coding(request) != "identity" or not _LONG <= length <= settings.max_body_bytes:
        return await read_body(request, settings)
    rest = buffer = np.empty(length, np.uint8).data  # of which the system gives a page when it is written to
    more = True
    with stage("read"):
        while more:
            chunk, more = await _chunk(request)
            rest[: len(chunk)] = chunk
            rest = rest[len(chunk) :]
    return buffer[: length - len(rest)]


def _coding(request: Request) -> str:
    """One of `CODINGS`. Raises: CodingError."""
    found = ",".join(header_values(request, b"content-encoding"))
    if not found:
        return "identity"
    codings = [coding for part in found.split(",") if (coding := part.strip().lower()) not in ("", "identity")]
    if not codings:
        return "identity"
    if len(codings) > 1 or codings[0] not in _WINDOWS:
        raise CodingError(f"body: expected a Content-Encoding of {', '.join(CODINGS)}, found {found:.200}", CODINGS)
    return codings[0]


def _too_large(name: str, most: int, found: str) -> BodyTooLargeError:
    return BodyTooLargeError(
        f"body: expected at most {most} bytes ({name}, set by REPARAM_{name.upper()}), found {found}"
    )


class _Whole:
    """A body as it grows: in one object, which holds no byte twice and takes no memory on the word of a header."""

    def __init__(self, name: str, most: int) -> None:
        self.body: Body = b""
        self._name, self._most = name, most

    def check(self, size: int, found: str) -> None:
        """Raises: BodyTooLargeError: if so many bytes are more than the limit."""
        if size > self._most:
            raise _too_large(self._name, self._most, found)

    def add(self, chunk: bytes, found: str = "more") -> None:
        """Raises: BodyTooLargeError."""
        self.check(len(self.body) + len(chunk), found)
        if not self.body:
            self.body = chunk
        elif chunk:
            if isinstance(self.body, bytes):
                self.body = bytearray(self.body)
            self.body += chunk


# Both await the messages themselves: the event loop keeps account of every asynchronous generator, for as long as it
# takes to read a digit.


async def _received(request: Request, whole: _Whole) -> Body:
    more = True
    while more:
        chunk, more = await _chunk(request)
        whole.add(chunk)
    return whole.body


async def _expanded(request: Request, coding: str, whole: _Whole) -> Body:
    """What a coded body holds, piece by piece, counted as in hand.

    A gzip file may have several members (RFC 1952); one alone is taken, as clients send it. What is received is limited
    too: it may be far longer than what it expands to.
    """
    member = zlib.decompressobj(_WINDOWS[coding])
    received, more = 0, True
    while more:
        chunk, more = await _chunk(request)
        received += len(chunk)
        whole.check(received, "more")
        for start in range(0, len(chunk), _PIECE):
            left = chunk[start : start + _PIECE]
            while left:
                if member.eof:
                    raise MalformedError(f"body: expected one {coding} file, found bytes after its end")
                try:
                    piece = member.decompress(left, _PIECE)
                except zlib.error as error:
                    raise MalformedError(f"body: not {coding}, or damaged: {error}") from error
                request.state.hold(len(piece))
                whole.add(piece, "more when expanded")
                left = member.unused_data or member.unconsumed_tail
                await checkpoint()
    if not member.eof:
        raise MalformedError(f"body: expected a whole {coding} file, found it cut short")
    return whole.body


async def _chunk(request: Request) -> tuple[bytes, bool]:
    """The next piece of what is received, and whether there is more. Raises: ClientDisconnect."""
    message = await request.receive()
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return message.get("body", b""), message.get("more_body", False)
