"""What a connection does with a caller that takes nothing; other bounds are in tests/e2e, on a real one."""

import asyncio
import json
import logging

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from app import metrics
from app.protocol import BoundedProtocol
from app.settings import Settings

REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


class Transport(asyncio.Transport):
    """To a caller who takes what `left` says: so many bytes are yet to be taken, each time it is asked."""

    def __init__(self, *left: int) -> None:
        super().__init__()
        self._left = list(left)
        self.aborted = False
        self.written = b""

    def get_write_buffer_size(self) -> int:
        return self._left.pop(0) if len(self._left) > 1 else self._left[0]

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.written += data

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted

    def close(self) -> None:
        """The caller is yet to take the rest."""

    def write_eof(self) -> None:
        """Likewise."""


async def _app(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.mark.parametrize(
    ("left", "aborted"),
    [((9, 9), True), ((9, 8, 7, 7), True), ((9, 5, 1, 0), False), ((0,), False)],
    ids=["takes nothing", "takes nothing any more", "is slow", "is quick"],
)
def test_an_answer_of_which_nothing_is_taken_is_not_kept(left: tuple[int, ...], aborted: bool) -> None:
    async def main() -> None:
        config = uvicorn.Config(_app, lifespan="off", ws="none", log_config=None)
        config.load()
        settings = Settings(models="mnist-mlp", body_timeout_s=0.05)
        protocol = BoundedProtocol(config=config, server_state=ServerState(), app_state={"settings": settings})
        transport = Transport(*left)
        protocol.connection_made(transport)
        protocol.data_received(REQUEST)
        while b"ok" not in transport.written or protocol._taker is not None:
            await asyncio.sleep(0.01)
        assert transport.aborted == aborted
        protocol.connection_lost(None)

    asyncio.run(main())


@pytest.mark.parametrize("ready", [True, False])
def test_what_is_no_request_is_logged_and_once_the_service_is_ready_counted(
    ready: bool, caplog: pytest.LogCaptureFixture
) -> None:
    counted = 'reparam_errors_total{operation="other",type="malformed-request"}'

    def count() -> float:
        metrics.flush()
        text = metrics.render("text/plain", {}, [])[0].decode()
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(counted))

    async def main() -> bytes:
        config = uvicorn.Config(_app, lifespan="off", ws="none", log_config=None)
        config.load()
        state = {"settings": Settings(models="mnist-mlp")} | ({"engine": object()} if ready else {})
        protocol = BoundedProtocol(config=config, server_state=ServerState(), app_state=state)
        transport = Transport(0)
        protocol.connection_made(transport)
        protocol.data_received(b"hello\r\n\r\n")
        protocol.connection_lost(None)
        return transport.written

    before = count()
    with caplog.at_level(logging.INFO):
        head, _, body = asyncio.run(main()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    lines = [record.fields for record in caplog.records if record.name == "app.requests"]  # type: ignore[attr-defined]
    told = {"status": 400, "problem": "malformed-request", "request_id": json.loads(body)["request_id"]}
    assert lines == [told]
    assert count() - before == ready
