"""`reparam serve`: run the service."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from app.settings import Settings

MODELS = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME|DIR", help="A shipped checkpoint or a folder (with a /). May be repeated."),
]


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; else REPARAM_HOST, else 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Else REPARAM_PORT, else 8000.")] = None,
    workers: Annotated[
        str | None, typer.Option(metavar="N|auto", help="Processes; else REPARAM_WORKERS, else 1.")
    ] = None,
    model: MODELS = None,
) -> None:
    """Serve checkpoints over HTTP. Everything else is set by REPARAM_ variables."""
    settings = read_settings(host=host, port=port, workers=workers, models=chosen(model))
    from app.listeners import listen

    listener = listen(settings.host, settings.port)  # callers wait from now on, rather than be refused
    from app.serving import serve as run

    raise typer.Exit(run(settings, listener))


def chosen(models: list[str] | None) -> tuple[str, ...] | None:
    """What the options --model name; None: there are none."""
    return tuple(models) if models else None


def read_settings(**options: Any) -> "Settings":
    """The settings, from the environment and these options. Raises: InputError."""
    import os
    from difflib import get_close_matches

    from pydantic import ValidationError

    from app.settings import Settings, setting_names, unknown_names
    from models.errors import InputError
    from models.strict import explain

    for name in unknown_names(os.environ):
        if meant := get_close_matches(name, setting_names(), 1, 0.9):
            raise InputError(f"{name}: expected the name of a setting, found none; did you mean {meant[0]}?")
    try:
        return Settings(**{key: value for key, value in options.items() if value is not None})
    except ValidationError as error:
        raise InputError(f"settings (environment variables REPARAM_...): {explain(error)}") from error
