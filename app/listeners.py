"""The port that the service listens on; of this module's own, for the port opens before everything else is imported."""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Sequence

from models.errors import ReparamError

BACKLOG = 2048  # connections that wait to be accepted
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
PAUSE_S = 1  # until a process that is out of file descriptors tries again

logger = logging.getLogger(__name__)


def listen(host: str, port: int) -> socket.socket:
    """A socket that callers can connect to; they wait until it is accepted from.

    Args:
        host: an address, with the interface where it is of one alone (`fe80::1%eth0`), or a name: of its addresses one
            of IPv4 if there is any.
    Raises: ReparamError: if the port cannot be taken.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, _, _, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
        listener = socket.socket(family)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
    except (OSError, UnicodeError) as error:  # the second of a name that is none
        raise ReparamError(f"host, port: expected an address to listen on, found {host}, {port}: {error}") from error
    return listener


def reached_at(host: str) -> str:
    """The address at which this machine reaches what listens on `host`: where that is any, the loopback's."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104


class Acceptor:
    """Takes connections from sockets that listen, one in a turn of the event loop, until it is closed.

    A server of asyncio's takes all that wait, so that of several processes that share a socket one may have every
    connection and the others none; and it resets what it has taken last when it is closed.
    """

    def __init__(self, listeners: Sequence[socket.socket], protocol: Callable[[], asyncio.BaseProtocol]) -> None:
        self._accepted: set[asyncio.Task[object]] = set()  # what has no protocol yet
        self._closed = False
        self._listeners, self._protocol = listeners, protocol
        self._loop = asyncio.get_running_loop()
        for listener in listeners:
            listener.setblocking(False)
            self._listen(listener)

    def close(self) -> None:
        """Accept no more; the sockets stay open."""
        self._closed = True
        for listener in self._listeners:
            self._loop.remove_reader(listener)

    async def wait_closed(self) -> None:
        """What was accepted has its protocol."""
        await asyncio.gather(*self._accepted, return_exceptions=True)

    def _listen(self, listener: socket.socket) -> None:
        if not self._closed:
            self._loop.add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        try:
            taken, _ = listener.accept()
        except OSError as error:
            if error.errno in EXHAUSTED:  # it would be tried again and again, and every time in vain
                logger.error("no connection can be accepted for %d s: %s", PAUSE_S, error)
                self._loop.remove_reader(listener)
                self._loop.call_later(PAUSE_S, self._listen, listener)
            return  # else another process has taken it, or its caller has gone
        taken.setblocking(False)
        task = self._loop.create_task(self._loop.connect_accepted_socket(self._protocol, taken))
        self._accepted.add(task)
        task.add_done_callback(self._accepted.discard)
