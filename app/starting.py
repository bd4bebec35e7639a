"""What is answered until the models are warm: the process is alive, not ready, and calls may come again."""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress
from threading import Event, Thread
from typing import Self

import uvicorn
from fastapi import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from app.access.cors import Cors
from app.access.headers import SecurityHeaders
from app.errors import StartingError, answer_error
from app.listeners import Acceptor
from app.observation import Observation
from app.protocol import BoundedProtocol
from app.settings import Settings
from models.files import checkpoint_folder

ON_ITS_WAY_S = 1  # how long a first request may take from its connection on
LIVE: dict[str, dict[str, object]] = {"/healthz": {"status": "alive"}, "/v2/health/live": {"live": True}}


class Starting:
    """Answers in a thread until the service itself does: probes for life with 200, everything else with 503.

    The metrics, which are the event loop's of the service, know nothing of it; the log does.

    Args:
        listeners: sockets that listen; they stay open.
    """

    def __init__(self, listeners: Sequence[socket.socket], settings: Settings) -> None:
        self._settings = settings
        models = settings.models if not settings.lazy_models else (settings.default_model or settings.models[0],)
        names = ", ".join(checkpoint_folder(model).name for model in models)
        self._told = f"expected a service whose models are warm, found it loading them: {names}; try again later"
        self._listeners = [listener.dup() for listener in listeners]
        self._loop = asyncio.new_event_loop()
        self._closing, self._closed = asyncio.Event(), Event()
        self._leaving = asyncio.Event()
        self._thread = Thread(target=self._run, name="starting")
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """End the thread, with whoever is not answered yet: a process that exits must not find it at work."""
        self._tell(self._closing)
        self._tell(self._leaving)
        self._thread.join()

    def close(self) -> None:
        """Accept no connection any more; those that were accepted are still answered. Another call does nothing."""
        self._tell(self._closing)
        self._closed.wait()

    def _tell(self, event: asyncio.Event) -> None:
        with suppress(RuntimeError):  # the thread has ended, and its loop is closed
            self._loop.call_soon_threadsafe(event.set)

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._serve())
        finally:
            self._closed.set()

    async def _serve(self) -> None:
        origins = self._settings.cors_origins
        answer = SecurityHeaders(Cors(self._answer, origins) if origins else self._answer, bool(origins))
        app = Observation(answer, self._settings.access_log, counted=False)
        config = uvicorn.Config(app, lifespan="off", ws="none", log_config=None, access_log=False)
        config.load()
        state = ServerState()
        ending = asyncio.Event()
        ending.set()  # each connection ends with its answer: the next one is the service's own
        app_state = {"settings": self._settings, "draining": ending}

        def connection() -> BoundedProtocol:
            return BoundedProtocol(config=config, server_state=state, app_state=app_state)

        acceptor = Acceptor(self._listeners, connection)
        await self._closing.wait()
        acceptor.close()
        for listener in self._listeners:
            listener.close()
        self._closed.set()
        await acceptor.wait_closed()
        # Each connection ends with its answer. One that has sent nothing, and has nothing on its way, is closed: its
        # first request would be told `starting` by a service that is not.
        late = self._loop.time() + ON_ITS_WAY_S
        while state.connections and not self._leaving.is_set():
            await asyncio.sleep(0.05)
            if self._loop.time() > late:
                for accepted in list(state.connections):
                    if isinstance(accepted, BoundedProtocol) and accepted.silent:
                        accepted.transport.close()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer: Response
        if scope["path"] in LIVE and scope["method"] in ("GET", "HEAD"):
            answer = JSONResponse(LIVE[scope["path"]])
        else:
            answer = await answer_error(Request(scope), StartingError(self._told))
        await answer(scope, receive, send)
