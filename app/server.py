"""A process that serves: how it stops, and how it reads its models anew."""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from threading import Event
from types import FrameType
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.lifespan.on import LifespanOn

from app import metrics
from app.listeners import Acceptor
from app.protocol import BoundedProtocol

if TYPE_CHECKING:
    from app.engine import Engine

logger = logging.getLogger(__name__)


class Lifespan(LifespanOn):
    """The application's start, whose last step is to take the port over from whoever answers there meanwhile.

    Args:
        tell_failure: is told why it failed; whom that reaches ends the process. None: the log is told, and it ends.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        take_over: Callable[["Engine"], None],
        tell_failure: Callable[[str], None] | None,
    ) -> None:
        super().__init__(config)
        self._take_over, self._tell_failure = take_over, tell_failure

    async def startup(self) -> None:
        await super().startup()
        if not self.should_exit:
            await asyncio.to_thread(self._take_over, self.state["engine"])

    async def send(self, message: MutableMapping[str, Any]) -> None:  # type: ignore[override]  # as ASGI has it
        if message["type"] == "lifespan.startup.failed" and self._tell_failure:
            self._tell_failure(message["message"])
            await asyncio.Event().wait()
        await super().send(message)  # type: ignore[arg-type]


class Server(uvicorn.Server):
    """A server that stops in two steps and ends well, and reloads its models on SIGHUP.

    On SIGTERM or SIGINT it is not ready from then on, goes on serving for `drain_delay_s`, takes no more connections,
    finishes what is in flight, and returns. A second SIGINT ends it at once. Before it has started the first one ends
    the process: there is nobody to go on serving for.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        drain_delay_s: float = 0,
        take_over: Callable[["Engine"], None] = lambda _: None,
        started: Callable[["Engine"], None] | None = None,
        tell_failure: Callable[[str], None] | None = None,
    ) -> None:
        """
        Args:
            take_over: is called when the models are warm; when it returns, the port is this server's.
            started: is called once, when the server answers.
            tell_failure: as for `Lifespan`.
        """
        super().__init__(config)
        self._drain_delay_s, self._take_over, self._announce = drain_delay_s, take_over, started
        self._tell_failure = tell_failure
        self._stop_at: float | None = None
        self._shares = True
        self._reload_wanted = False
        self._reloading: asyncio.Task[None] | None = None

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            super().run(sockets)
        except Exception as error:  # of an import or of memory: what the application fails for, it tells itself
            logger.exception("the server fails")
            if self._tell_failure and not self.started:
                self._tell_failure(f"the server fails: {type(error).__name__} {error}".rstrip())
                Event().wait()
            sys.exit(STARTUP_FAILURE)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """For good: the process ends with the server, and a late signal must not be its exit status."""
        signal.signal(signal.SIGINT, self.handle_exit)
        signal.signal(signal.SIGTERM, self.handle_exit)
        signal.signal(signal.SIGHUP, self.handle_reload)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # what came since the start is heard now
        yield

    def handle_exit(self, sig: int, frame: FrameType | None = None) -> None:  # noqa: ARG002
        if not self.started:
            os._exit(0)
        if self._stop_at is None:
            self._stop_at = time.monotonic() + self._drain_delay_s
            self.lifespan.state["draining"].set()
        elif sig == signal.SIGINT:
            self.should_exit = self.force_exit = True

    def handle_reload(self, sig: int, frame: FrameType | None = None) -> None:  # noqa: ARG002
        self._reload_wanted = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.lifespan = Lifespan(self.config, self._hand_over, self._tell_failure)
        await super().startup([])
        self.servers = [Acceptor(sockets or (), self._connection)]  # type: ignore[list-item]  # it can be closed
        # What the start made stays: looking through it for garbage, again and again, stops requests for 100 ms.
        gc.collect()
        gc.freeze()
        if self.started and self._announce:
            self._announce(self.lifespan.state["engine"])

    def _hand_over(self, engine: "Engine") -> None:
        self._share()  # a worker ends here where its figures have no room, and has never been warm
        self._take_over(engine)

    def _connection(self) -> BoundedProtocol:
        return BoundedProtocol(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
        self._share()
        if self._stop_at is not None:
            self.lifespan.state["draining"].set()
            self.should_exit |= time.monotonic() >= self._stop_at
        if self._reload_wanted and (self._reloading is None or self._reloading.done()):
            self._reload_wanted = False
            self._reloading = asyncio.create_task(self._reload())
        return await super().on_tick(counter)

    async def _reload(self) -> None:
        logger.info("SIGHUP: reading the models anew")
        try:
            await self.lifespan.state["reload"]()
        except Exception:
            logger.exception("SIGHUP: the models were not all reloaded, or are not described anew")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for acceptor in self.servers:
            acceptor.close()
            await acceptor.wait_closed()  # uvicorn then asks every connection there is to end
        await super().shutdown(sockets)
        if self.force_exit:  # uvicorn has not told the application then, which would be cut off and say so
            await self.lifespan.shutdown()
        self._share()

    def _share(self) -> None:
        """Let the other workers see what was counted; what cannot be shared now waits."""
        for model in self.lifespan.state["engine"].models.values():
            metrics.queue(model.name, model.queue_images, model.queue_age_s)
        shared, self._shares = self._shares, True
        try:
            metrics.flush()
            self.lifespan.state["statistics"].flush()
        except OSError as error:
            self._shares = False
            if shared:
                logger.error("what is counted cannot be shared with other workers: %s", error)
