"""How connections are taken."""

import asyncio
import errno
import socket

import pytest

from app import listeners
from app.listeners import Acceptor, listen


class Exhausted:
    """A socket that listens, of a process that is out of file descriptors for some time."""

    def __init__(self, listener: socket.socket, refusals: int) -> None:
        self._listener, self._refusals, self.tries = listener, refusals, 0

    def accept(self) -> tuple[socket.socket, object]:
        self.tries += 1
        if self.tries <= self._refusals:
            raise OSError(errno.EMFILE, "Too many open files")
        return self._listener.accept()

    def fileno(self) -> int:
        return self._listener.fileno()

    def setblocking(self, flag: bool) -> None:
        self._listener.setblocking(flag)


@pytest.mark.parametrize("close", [False, True])
def test_a_process_out_of_descriptors_tries_again_later_and_not_all_the_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, close: bool
) -> None:
    monkeypatch.setattr(listeners, "PAUSE_S", 0.2)
    taken = asyncio.Event()

    class Greeting(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transport.close()
            taken.set()

    async def main(listener: socket.socket) -> None:
        exhausted = Exhausted(listener, 2)
        acceptor = Acceptor([exhausted], Greeting)  # type: ignore[list-item]
        with socket.create_connection(listener.getsockname()):
            while not exhausted.tries:
                await asyncio.sleep(0.01)
            if close:
                acceptor.close()
                await asyncio.sleep(0.3)
                assert exhausted.tries == 1
            else:
                await taken.wait()
                assert exhausted.tries == 3  # once a pause
        acceptor.close()
        await acceptor.wait_closed()

    with listen("127.0.0.1", 0) as listener:
        asyncio.run(main(listener))
    assert "Too many open files" in caplog.text
