"""The port that the service listens on; of this module's own, for the port opens before everything else is imported."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress

from models.errors import ReparamError

BACKLOG = 2048  # connections that wait to be accepted


def listen(host: str, port: int) -> socket.socket:
    """A socket that callers can connect to; they wait until it is accepted from.

    Raises: ReparamError: if the port cannot be taken.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ReparamError(f"host, port: expected an address to listen on, found {host}, {port}: {error}") from error
    return listener


class Acceptor:
    """Takes connections from sockets that listen, one in a turn of the event loop, until it is closed.

    A server of asyncio's takes all that wait, so that of several processes that share a socket one may have every
    connection and the others none; and it resets what it has taken last when it is closed.
    """

    def __init__(self, listeners: Sequence[socket.socket], protocol: Callable[[], asyncio.BaseProtocol]) -> None:
        self._accepted: set[asyncio.Task[object]] = set()  # what has no protocol yet
        self._listeners, self._protocol = listeners, protocol
        self._loop = asyncio.get_running_loop()
        for listener in listeners:
            listener.setblocking(False)
            self._loop.add_reader(listener, self._accept, listener)

    def close(self) -> None:
        """Accept no more; the sockets stay open."""
        for listener in self._listeners:
            self._loop.remove_reader(listener)

    async def wait_closed(self) -> None:
        """What was accepted has its protocol."""
        await asyncio.gather(*self._accepted, return_exceptions=True)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # another process has taken it, or its caller has gone
            taken, _ = listener.accept()
            taken.setblocking(False)
            task = self._loop.create_task(self._loop.connect_accepted_socket(self._protocol, taken))
            self._accepted.add(task)
            task.add_done_callback(self._accepted.discard)
