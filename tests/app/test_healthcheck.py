"""What the image's health check says of whoever answers."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from tests.conftest import ROOT

(COMMAND,) = re.findall(r"^HEALTHCHECK .*\\\n +CMD (\[.+\])$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)


@contextmanager
def answering(host: str, status: int) -> Iterator[int]:
    """The port of a server whose `/readyz` has a status, and everything else 404."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/readyz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer((host, 0), Answer) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("listens", "host", "status", "expected"),
    [
        ("127.0.0.1", "127.0.0.1", 200, 0),
        ("127.0.0.1", "127.0.0.1", 503, 1),
        ("127.0.0.2", "127.0.0.2", 200, 0),
        ("127.0.0.1", "0.0.0.0", 200, 0),
        ("127.0.0.1", "127.0.0.2", 200, 1),
    ],
)
def test_it_asks_where_the_settings_say(listens: str, host: str, status: int, expected: int) -> None:
    python, *arguments = json.loads(COMMAND)
    assert python == "python"
    with answering(listens, status) as port:
        environment = os.environ | {"REPARAM_HOST": host, "REPARAM_PORT": str(port)}
        end = subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, timeout=60)
    assert end.returncode == expected, end.stderr
