"""`reparam serve`: run the service."""

from typing import Annotated, Any

import typer


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; else REPARAM_HOST, else 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Else REPARAM_PORT, else 8000.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; else REPARAM_WORKERS, else 1.")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME|DIR", help="A shipped checkpoint or a folder (with a /). May be repeated."),
    ] = None,
) -> None:
    """Serve checkpoints over HTTP. Everything else is set by REPARAM_ variables."""
    import os

    import uvicorn
    from pydantic import ValidationError

    from app.access import check_access
    from app.settings import Settings
    from models.config import explain
    from models.errors import InputError

    options: dict[str, Any] = {"host": host, "port": port, "workers": workers, "models": ",".join(model or []) or None}
    # Into the environment, where every worker process reads its settings from.
    os.environ |= {f"REPARAM_{key.upper()}": str(value) for key, value in options.items() if value is not None}
    try:
        settings = Settings()
    except ValidationError as error:
        raise InputError(f"settings (environment variables REPARAM_...): {explain(error)}") from error
    check_access(settings)
    if settings.workers > 1:  # a bad checkpoint must stop the start, not every worker again and again
        from app.engine import Engine

        Engine.load(settings.checkpoint_folders(), settings.default_model)
    uvicorn.run(
        "app.main:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        timeout_graceful_shutdown=settings.shutdown_timeout_s,
        server_header=False,
        http="app.protocol:BoundedProtocol",
        ws="none",
        proxy_headers=False,  # REPARAM_TRUSTED_PROXIES says which are believed
    )
