"""What `reparam serve` does: check the models, run the processes, and say what is served."""

import logging
import socket
import sys

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from app import logs, traces
from app.access import check_access
from app.engine import Engine
from app.network import find_device
from app.report import address_of, as_text, describe
from app.server import Server
from app.settings import Settings
from app.starting import Starting
from app.supervisor import Supervisor, shared_metrics

logger = logging.getLogger(__name__)


def serve(settings: Settings, listener: socket.socket) -> int:
    """Serve on a socket that listens until a signal says to stop. Returns: the exit status.

    Raises: CheckpointError: if several workers are to serve a bad checkpoint. DeviceError; InputError.
    """
    if settings.otlp_endpoint:
        traces.check_installed()
    config = uvicorn.Config(
        "app.main:create_app",
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
    check_access(settings)
    find_device(settings.device)
    address = address_of(settings.host, listener.getsockname()[1])

    def started(engine: Engine) -> None:
        report = describe(settings, engine, address)
        if settings.log_format == "json":
            logger.info("started", extra={"fields": report})
        else:
            sys.stderr.write(as_text(report) + "\n")

    with Starting([listener], settings) as starting:
        if settings.workers == 1:
            server = Server(config, settings.drain_delay_s, starting.close, started)
            server.run([listener])
            return 0 if server.started else STARTUP_FAILURE
        # Here too, since a bad checkpoint must stop the start, not every worker again and again.
        engine = Engine.load(settings.checkpoint_folders(), settings.default_model, check_only=True)
        with shared_metrics():
            supervisor = Supervisor(config, [listener], settings.drain_delay_s, starting.close, lambda: started(engine))
            supervisor.run()
        return STARTUP_FAILURE if supervisor.failed else 0
