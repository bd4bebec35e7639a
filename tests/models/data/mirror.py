"""A real HTTP server on this machine that serves files, and misbehaves when told to."""

import hashlib
import re
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import NamedTuple


class Request(NamedTuple):
    file: str
    range: str | None
    if_range: str | None
    status: int
    body_bytes: int  # that the answer promises


@dataclass
class Mirror:
    """What the server does. `faults` are used up, one a request; without one the request is served well.

    A number is an HTTP status. cut: half the body, then the connection closes. reset: the same, not politely.
    stall: half the body, then nothing. endless: a body that never ends. wrong: other bytes of the same size.
    hole: a 206 for another range than the one asked for. short: half of it, as if that were all.
    encoded: the file, declared to be a gzip transfer. redirect: to the same place. silent: no answer at all.
    """

    files: dict[str, bytes]
    ranges: bool = True
    etags: bool = True
    faults: list[str] = field(default_factory=list)
    always: str = ""  # the fault of a request for which there is none in `faults`
    requests: list[Request] = field(default_factory=list)
    url: str = ""

    def asked(self, name: str) -> list[Request]:
        return [request for request in self.requests if request.file == name]


@contextmanager
def serve(mirror: Mirror) -> Iterator[Mirror]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answer(self, mirror)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass  # a client that has heard enough and hangs up is part of the tests

    with Server(("127.0.0.1", 0), Handler) as server:
        mirror.url = f"http://127.0.0.1:{server.server_port}/mnist/"
        # The default poll is half a second, and each test would wait for it at its end.
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield mirror
        finally:
            server.shutdown()
            thread.join()


def answer(handler: BaseHTTPRequestHandler, mirror: Mirror) -> None:
    name = handler.path.rpartition("/")[2]
    content = mirror.files.get(name)
    fault = mirror.faults.pop(0) if mirror.faults else mirror.always
    asked, if_range = handler.headers["Range"], handler.headers["If-Range"]
    etag = f'"{hashlib.sha256(content or b"").hexdigest()[:16]}"'
    headers: dict[str, str] = {"ETag": etag} if mirror.etags else {}

    def send(status: int, body: bytes = b"", length: int | None = None) -> None:
        mirror.requests.append(Request(name, asked, if_range, status, len(body) if length is None else length))
        handler.send_response(status)
        for key, value in headers.items():
            handler.send_header(key, value)
        handler.send_header("Content-Length", str(len(body) if length is None else length))
        handler.end_headers()
        handler.wfile.write(body)

    if fault == "silent":
        handler.close_connection = True
        return None
    if fault == "redirect":
        headers["Location"] = handler.path
        return send(302)
    if fault.isdigit() or content is None:
        return send(int(fault or 404), b"<html>no such luck</html>")
    if fault == "endless":
        mirror.requests.append(Request(name, asked, if_range, 200, -1))
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        with suppress(ConnectionError):
            while True:
                handler.wfile.write(bytes(1 << 16))

    start = 0
    if asked and mirror.ranges and (if_range is None or if_range == etag):
        match = re.fullmatch(r"bytes=(\d+)-", asked)
        assert match is not None
        start = int(match[1])
        if start >= len(content):
            headers["Content-Range"] = f"bytes */{len(content)}"
            return send(416)
    status = 206 if start else 200
    body = content[start:]
    first = start - 1 if fault == "hole" else start
    if fault == "wrong":
        body = bytes(byte ^ 0x55 for byte in body)
    if fault == "short":
        body = body[: len(body) // 2]
    if status == 206:
        headers["Content-Range"] = f"bytes {first}-{first + len(body) - 1}/{len(content)}"
    if fault == "encoded":
        headers["Content-Encoding"] = "gzip"
    if fault in ("cut", "reset", "stall"):
        send(status, body[: len(body) // 2], len(body))
        handler.wfile.flush()
        if fault == "stall":
            handler.connection.recv(1)  # until the client hangs up
        if fault == "reset":
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.connection.close()
        handler.close_connection = True
        return None
    return send(status, body)
