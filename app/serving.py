"""What `reparam serve` does: take the port, check the models, run the processes, and say what is served."""

import logging
import socket
import sys

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from app import logs, traces
from app.access import check_access
from app.engine import Engine
from app.report import address_of, as_text, describe
from app.server import Server
from app.settings import Settings
from app.supervisor import Supervisor, shared_metrics
from models.errors import ReparamError

logger = logging.getLogger(__name__)


def serve(settings: Settings) -> int:
    """Serve until a signal says to stop. Returns: the exit status.

    Raises: CheckpointError: if several workers are to serve a bad checkpoint. ReparamError.
    """
    if settings.otlp_endpoint:
        traces.check_installed()
    config = uvicorn.Config(
        "app.main:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        timeout_graceful_shutdown=settings.shutdown_timeout_s,
        server_header=False,
        access_log=False,
        http="app.protocol:BoundedProtocol",
        ws="none",
        proxy_headers=False,  # REPARAM_TRUSTED_PROXIES says which are believed
        log_config=logs.config(settings.log_format, settings.log_level),
    )
    check_access(settings)
    listener = _listen(settings.host, settings.port)
    address = address_of(settings.host, listener.getsockname()[1])

    def started(engine: Engine) -> None:
        report = describe(settings, engine, address)
        if settings.log_format == "json":
            logger.info("started", extra={"fields": report})
        else:
            sys.stderr.write(as_text(report) + "\n")

    if settings.workers == 1:
        server = Server(config, settings.drain_delay_s, started)
        server.run([listener])
        return 0 if server.started else STARTUP_FAILURE
    # Here too, since a bad checkpoint must stop the start, not every worker again and again.
    engine = Engine.load(settings.checkpoint_folders(), settings.default_model, check_only=True)
    with shared_metrics():
        supervisor = Supervisor(config, [listener], settings.drain_delay_s, lambda: started(engine))
        supervisor.run()
    return STARTUP_FAILURE if supervisor.failed else 0


def _listen(host: str, port: int) -> socket.socket:
    """Raises: ReparamError: if the port cannot be taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ReparamError(f"host, port: expected an address to listen on, found {host}, {port}: {error}") from error
    return listener
