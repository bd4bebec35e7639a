"""How connections are taken."""

import asyncio
import errno
import socket

import pytest

from app import listeners
from app.listeners import Acceptor, listen
from models.errors import ReparamError


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (["127.0.0.2"], "127.0.0.2"),
        (["::1", "127.0.0.1"], "127.0.0.1"),  # as localhost mostly has
        pytest.param(["::1"], "::1", marks=pytest.mark.skipif(not _has_ipv6(), reason="there is no IPv6")),
    ],
)
def test_a_name_is_listened_on_whatever_its_addresses(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str], expected: str
) -> None:
    resolve = socket.getaddrinfo

    def resolve_name(host: str, *arguments: object, **options: object) -> list[tuple]:
        assert host == "name.test"
        return [found for address in addresses for found in resolve(address, *arguments, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve_name)
    with listen("name.test", 0) as listener:
        assert listener.getsockname()[0] == expected


@pytest.mark.skipif(not _has_ipv6(), reason="there is no IPv6")
def test_an_address_of_one_interface_is_one() -> None:
    with pytest.raises(ReparamError, match=r"fe80::1%lo, 0: .*Cannot assign requested address"):  # lo has no such one
        listen("fe80::1%lo", 0)


@pytest.mark.parametrize("host", ["a..b", "192.0.2.99"])
def test_what_is_no_address_of_this_machine_is_an_error(host: str) -> None:
    with pytest.raises(ReparamError, match=f"host, port: expected an address to listen on, found {host}, 0: "):
        listen(host, 0)


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
