"""What `reparam serve` does: check the settings, run the processes, and say what is served."""

import logging
import socket
import sys
from contextlib import suppress
from functools import partial

import uvicorn
from fastapi import FastAPI
from uvicorn.config import STARTUP_FAILURE

from app import logs
from app.access import Keys
from app.checks import check_start
from app.figures import SharedFigures
from app.report import Report, address_of, as_text, describe
from app.server import Server
from app.settings import Settings
from app.starting import Starting
from app.supervisor import Supervisor

logger = logging.getLogger(__name__)


def _create(settings: Settings, keys: Keys | None) -> FastAPI:
    """The application, of what was read when the service started: a worker that starts later is like the others."""
    from app.main import create_app  # a worker's: while it is imported, whoever calls is answered already

    return create_app(settings, keys)


def serve(settings: Settings, listener: socket.socket) -> int:
    """Serve on a socket that listens until a signal says to stop. Torch is the workers' alone.

    Returns: the exit status.
    Raises: ReparamError: if the settings ask for what cannot be had. InputError.
    """
    config = uvicorn.Config(
        _create,  # below with what it is called with, once the log is as the settings want it
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=settings.shutdown_timeout_s,
        server_header=False,
        access_log=False,
        http="app.protocol:BoundedProtocol",
        ws="none",
        proxy_headers=False,  # REPARAM_TRUSTED_PROXIES says which are believed
        log_config=logs.config(settings.log_format, settings.log_level),
    )
    config.app = partial(_create, settings, check_start(settings))

    address = address_of(settings.host, listener.getsockname()[1])
    described = partial(describe, settings, address)
    with Starting([listener], settings) as starting:
        if settings.workers == 1:
            server = Server(
                config,
                settings.drain_delay_s,
                take_over=lambda _: starting.close(),
                started=lambda engine: _tell(described(engine), settings),
            )
            server.run([listener])
            return 0 if server.started else STARTUP_FAILURE
        with SharedFigures(settings.workers) as figures:
            supervisor = Supervisor(
                config,
                [listener],
                figures,
                settings.drain_delay_s,
                leave_port=starting.close,
                describe=described,
                started=lambda report: _tell(report, settings),
            )
            supervisor.run()
        return STARTUP_FAILURE if supervisor.failed else 0


def _tell(report: Report, settings: Settings) -> None:
    if settings.log_format == "json":
        logger.info("started", extra={"fields": report})
    else:
        with suppress(OSError):  # on a full disk it serves all the same
            sys.stderr.write(as_text(report) + "\n")
            sys.stderr.flush()
