"""The calls that are measured: the bytes that go over the wire, and what must come back."""

import http.client
from typing import NamedTuple
from urllib.parse import urlsplit

BOUNDARY = "reparam-benchmark"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"
JSON, NPY, PNG, SAFETENSORS = "application/json", "application/x-npy", "image/png", "application/vnd.safetensors"


class BenchmarkError(Exception):
    """A measurement that cannot be made, or that would measure nonsense."""


class Call(NamedTuple):
    """A request, and the status that it must be answered with."""

    path: str
    body: bytes = b""
    content_type: str = JSON
    accept: str = "*/*"
    status: int = 200

    def raw(self, url: str) -> bytes:
        """The request as it goes over the wire."""
        head = "".join(f"{name}: {value}\r\n" for name, value in self._headers(url).items())
        return f"POST {self.path} HTTP/1.1\r\n{head}\r\n".encode() + self.body

    def send(self, url: str, timeout_s: float = 60) -> bytes:
        """The body of the answer. Raises: BenchmarkError: if its status is another."""
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=timeout_s)
        try:
            connection.request("POST", self.path, self.body, self._headers(url))
            answer = connection.getresponse()
            body = answer.read()
        except OSError as error:
            raise BenchmarkError(f"{self.path}: expected an answer of {url}, found {error}") from error
        finally:
            connection.close()
        if answer.status != self.status:
            raise BenchmarkError(
                f"{self.path}, {self.content_type}: expected status {self.status}, found {answer.status}: {body!r:.300}"
            )
        return body

    def _headers(self, url: str) -> dict[str, str]:
        return {
            "Host": urlsplit(url).netloc,
            "Accept": self.accept,
            "Content-Type": self.content_type,
            "Content-Length": str(len(self.body)),
        }


def form(name: str, file: bytes) -> bytes:
    """A multipart body, of type `MULTIPART`, with one PNG file in a field."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="digit.png"\r\n'
    return f"{head}Content-Type: {PNG}\r\n\r\n".encode() + file + f"\r\n--{BOUNDARY}--\r\n".encode()
