"""`reparam data`: get the training data, and say what is in a folder of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.folders import folder as folder_of

if TYPE_CHECKING:
    from models.data import FetchEvent

FOLDER = Path("data/mnist")

data = typer.Typer(name="data", help="Get MNIST, and look at what is in a folder of it.", no_args_is_help=True)


@data.command(epilog="Example: reparam data fetch --to data/mnist")
def fetch(
    to: Annotated[
        Path, typer.Option(parser=folder_of, metavar="DIR", help="The folder to put the four files into.")
    ] = FOLDER,
    mirror: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Ask this server instead of MNIST's public mirrors. May be repeated."),
    ] = None,
) -> None:
    """Download MNIST's four files (11 MB), checked against their published sha256.

    Files which are there are left alone: MNIST's own need not come again, and for others there is no room beside them.
    An interrupted download is resumed.
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from models.data import MIRRORS, fetch_mnist

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    # On stderr, so that stdout has the result alone.
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks = {}

        def show(event: "FetchEvent") -> None:
            if event.kind == "bytes":
                if event.file not in tasks:
                    tasks[event.file] = bars.add_task(event.file)
                bars.update(tasks[event.file], completed=event.done_bytes, total=event.total_bytes)
            else:
                line = f"{event.file}: {event.kind}: {event.detail}"
                bars.console.print(line, markup=False, highlight=False, soft_wrap=True)

        fetch_mnist(to, mirror or MIRRORS, show, proxies_from_environment=True)
    typer.echo(f"MNIST is in {to}")


@data.command(epilog="Example: reparam data info data/mnist")
def info(
    folder: Annotated[
        Path, typer.Argument(parser=folder_of, metavar="DIR", help="The folder of the four files.")
    ] = FOLDER,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what each of the four files holds: count, shape, type, sha256, and if it is the published one."""
    import json
    from dataclasses import asdict

    from models.data import info as describe

    files = describe(folder)
    if as_json:
        rows = [asdict(file) | {"path": str(file.path), "count": file.shape[0]} for file in files]
        typer.echo(json.dumps({"folder": str(folder), "files": rows}, indent=2))
        return
    for file in files:
        origin = "as published" if file.published else "not the published file"
        shape = f"{file.shape} {file.dtype}"
        typer.echo(f"{file.path.name:26}  {file.shape[0]:>6,}  {shape:22}  sha256 {file.sha256}  {origin}")
