"""The port that the service listens on; of this module's own, for the port opens before everything else is imported."""

import socket

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
