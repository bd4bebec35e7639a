"""`reparam doctor`: check that the service can start, and say what it would be."""

from typing import Annotated

import typer

from app.cli.serve import MODELS, chosen, read_settings


def doctor(
    model: MODELS = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Read the settings, load and check every model, and print what `reparam serve` would serve."""
    settings = read_settings(models=chosen(model))

    import asyncio
    import json
    from functools import partial

    from app.checks import check_start
    from app.cli.progress_bar import LONG_S, ProgressBar
    from app.figures import SharedFigures
    from app.listeners import listen

    listen(settings.host, 0).close()  # the address is one of this machine's; its port the service may have already
    check_start(settings)
    if settings.rate_limit is not None:
        from app.access.rates import RateLimiter

        if wrong := asyncio.run(RateLimiter.load(settings.rate_limit, settings).check()):
            typer.echo(wrong, err=True)
    if settings.workers > 1:
        with SharedFigures(settings.workers):  # they can be made
            pass

    from app.engine import Engine
    from app.report import address_of, as_text, describe

    with ProgressBar(LONG_S) as bar:
        engine = Engine.load(
            settings.checkpoint_folders(),
            settings.default_model,
            threads=settings.threads,
            device=settings.device,
            runtime=settings.runtime,
            progress=partial(bar.show, "models"),
        )
    report = describe(settings, address_of(settings.host, settings.port), engine)
    typer.echo(json.dumps(report, indent=2) if as_json else as_text(report))
