"""What a server does on signals; whole processes are in tests/e2e."""

import asyncio
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from app.oip import Statistics, Took
from app.server import Server


class Engine:
    """Counts how often it was told to reload, and fails the first time."""

    def __init__(self) -> None:
        self.reloads = 0
        self.going = asyncio.Event()
        self.models: dict[str, object] = {}

    async def reload(self) -> None:
        self.reloads += 1
        if self.reloads == 1:
            raise OSError("no such disk")
        await self.going.wait()


async def _app(scope, receive, send) -> None:
    pass


def _server(drain_delay_s: float = 0) -> tuple[Server, Engine, asyncio.Event]:
    config = uvicorn.Config(_app)
    config.load()
    server = Server(config, drain_delay_s)
    server.lifespan = config.lifespan_class(config)
    engine, draining = Engine(), asyncio.Event()
    state = {"engine": engine, "reload": engine.reload, "draining": draining, "statistics": Statistics()}
    server.lifespan.state |= state
    server.started = True
    return server, engine, draining


def test_sighup_reloads_once_at_a_time_and_survives_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        server, engine, _ = _server()

        async def tick() -> None:
            assert not await server.on_tick(0)
            await asyncio.sleep(0)

        await tick()
        assert engine.reloads == 0
        server.handle_reload(signal.SIGHUP)
        await tick()
        assert engine.reloads == 1 and "no such disk" in caplog.text
        server.handle_reload(signal.SIGHUP)
        server.handle_reload(signal.SIGHUP)
        await tick()
        server.handle_reload(signal.SIGHUP)  # while it reloads: kept for later
        await tick()
        assert engine.reloads == 2
        engine.going.set()
        await asyncio.sleep(0)
        await tick()
        assert engine.reloads == 3

    asyncio.run(run())


def test_a_stop_is_told_at_once_and_waits_for_the_drain() -> None:
    async def run() -> None:
        server, _, draining = _server(drain_delay_s=2)
        server.handle_exit(signal.SIGTERM)
        assert draining.is_set()
        assert not await server.on_tick(0)
        server.handle_exit(signal.SIGTERM)  # a second one hastens nothing
        assert not await server.on_tick(0) and not server.force_exit
        began = time.monotonic()
        while not await server.on_tick(0):
            await asyncio.sleep(0.05)
            assert time.monotonic() - began < 60

    asyncio.run(run())


def test_a_second_interrupt_ends_the_wait() -> None:
    async def run() -> None:
        server, _, _ = _server(drain_delay_s=100)
        server.handle_exit(signal.SIGINT)
        server.handle_exit(signal.SIGINT)
        assert await server.on_tick(0) and server.force_exit

    asyncio.run(run())


def test_what_cannot_be_shared_is_said_once_and_shared_later(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        server, _, _ = _server()
        folder = tmp_path / "removed"
        statistics = server.lifespan.state["statistics"] = Statistics(str(folder))
        for lines in (1, 2):
            statistics.succeed("a.encode", 1, Took(1, 1, 1, 1))
            for _ in range(3):
                assert not await server.on_tick(0)
            assert [record.message.startswith("what is counted") for record in caplog.records] == [True] * lines
            folder.mkdir()
            assert not await server.on_tick(0)
            (other,) = await Statistics(str(folder), "other").documents(["a.encode"])
            assert other["execution_count"] == lines
            shutil.rmtree(folder)

    asyncio.run(run())


def _fail_to_import() -> object:
    raise ImportError("libgone.so: cannot open shared object file")


def test_what_keeps_the_application_from_being_made_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(SystemExit, match="3"):
        Server(uvicorn.Config(_fail_to_import, factory=True)).run()
    (record,) = [record for record in caplog.records if record.name == "app.server"]
    assert record.exc_info is not None and "libgone" in str(record.exc_info[1])


def test_a_supervisor_is_told_what_keeps_the_application_from_being_made() -> None:
    class Told(BaseException):
        """In place of the process's end."""

    def tell(why: str) -> None:
        raise Told(why)

    with pytest.raises(Told, match="the server fails: ImportError libgone"):
        Server(uvicorn.Config(_fail_to_import, factory=True), tell_failure=tell).run()


def test_who_cannot_share_what_it_counts_never_takes_the_port() -> None:
    class EndedError(Exception):
        """In place of the process's end."""

    class Full:
        @staticmethod
        def flush() -> None:
            raise EndedError

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["state"] |= {"engine": Engine(), "statistics": Full()}
        await send({"type": "lifespan.startup.complete"})
        await receive()

    config = uvicorn.Config(app)
    config.load()
    taken: list[object] = []
    with pytest.raises(EndedError):
        asyncio.run(Server(config, take_over=taken.append).startup([]))
    assert not taken
