"""A real redis-server, in a process of its own."""

import signal
import socket
import subprocess
import time
from pathlib import Path

from tests.e2e.server import free_port


class RedisServer:
    """One on a port of its own, which can be stopped, killed and started again; it keeps nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(
            [*command, "--dir", str(self.folder)], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
        )
        deadline = time.monotonic() + 60
        while self.ask("PING") != b"+PONG":
            assert self.process.poll() is None and time.monotonic() < deadline, "redis-server did not start"
            time.sleep(0.02)

    def ask(self, command: str) -> bytes:
        """The first line of the answer; nothing if there is none."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
                connection.sendall(command.encode() + b"\r\n")
                return connection.recv(4096).split(b"\r\n")[0]
        except OSError:
            return b""

    def hang(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)
