"""From a request's stream to its body: whole, expanded, and no larger than the limit."""

import zlib
from collections.abc import AsyncIterator, Callable
from typing import Literal

from anyio.lowlevel import checkpoint
from fastapi import Request

from app.errors import BodyTooLargeError, CodingError, MalformedError
from app.settings import Settings
from app.stages import stage

Body = bytes | bytearray
Limit = Literal["max_body_bytes", "max_json_bytes"]

# What zlib calls each coding: with gzip's header and checksum, or with its own (RFC 9110, section 8.4.1).
_WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
CODINGS = (*_WINDOWS, "identity")
_PIECE = 64 * 2**10  # of the expanded body, so that no step takes longer than the event loop can wait


async def read_body(request: Request, settings: Settings, limit: Limit = "max_body_bytes") -> Body:
    """The body of a request, as one object; a gzip or deflate coding is undone.

    The limit holds for what is received and for what it expands to.
    Raises: BodyTooLargeError; CodingError; MalformedError: if it is not coded as it says it is.
    """
    most = min(settings.max_body_bytes, getattr(settings, limit))
    name = "max_body_bytes" if most == settings.max_body_bytes else limit
    coding = _coding(request)
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and (len(stated) > 18 or int(stated) > most):
        raise _too_large(name, most, f"a Content-Length of {stated:.20}")
    chunks = _limited(request.stream(), name, most, "more")
    if coding != "identity":
        chunks = _limited(_expanded(chunks, coding, request.state.hold), name, most, "more when expanded")
    with stage("read"):
        return await _joined(chunks)


def _coding(request: Request) -> str:
    """One of `CODINGS`. Raises: CodingError."""
    found = ",".join(request.headers.getlist("content-encoding"))
    codings = [coding for part in found.split(",") if (coding := part.strip().lower()) not in ("", "identity")]
    if not codings:
        return "identity"
    if len(codings) > 1 or codings[0] not in _WINDOWS:
        raise CodingError(f"body: expected a Content-Encoding of {', '.join(CODINGS)}, found {found:.200}", CODINGS)
    return codings[0]


async def _limited(chunks: AsyncIterator[bytes], name: str, most: int, found: str) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > most:
            raise _too_large(name, most, found)
        yield chunk


def _too_large(name: str, most: int, found: str) -> BodyTooLargeError:
    return BodyTooLargeError(
        f"body: expected at most {most} bytes ({name}, set by REPARAM_{name.upper()}), found {found}"
    )


async def _expanded(chunks: AsyncIterator[bytes], coding: str, hold: Callable[[int], None]) -> AsyncIterator[bytes]:
    """What a coded body holds, piece by piece, counted as in hand.

    A gzip file has one member (RFC 1952), as everything that is sent has.
    """
    member = zlib.decompressobj(_WINDOWS[coding])
    async for chunk in chunks:
        for start in range(0, len(chunk), _PIECE):
            left = chunk[start : start + _PIECE]
            while left:
                if member.eof:
                    raise MalformedError(f"body: expected one {coding} file, found bytes after its end")
                try:
                    piece = member.decompress(left, _PIECE)
                except zlib.error as error:
                    raise MalformedError(f"body: not {coding}, or damaged: {error}") from error
                hold(len(piece))
                yield piece
                left = member.unused_data or member.unconsumed_tail
                await checkpoint()
    if not member.eof:
        raise MalformedError(f"body: expected a whole {coding} file, found it cut short")


async def _joined(chunks: AsyncIterator[bytes]) -> Body:
    """In one object: a buffer that grows in place holds no byte twice, and takes no memory on the word of a header."""
    body: Body = b""
    async for chunk in chunks:
        if not body:
            body = chunk
        elif chunk:
            if isinstance(body, bytes):
                body = bytearray(body)
            body += chunk
    return body
