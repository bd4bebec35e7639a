"""`reparam train`: make a checkpoint."""

import subprocess
from pathlib import Path
from typing import Annotated, Literal

import typer

from app.cli.folders import folder
from app.cli.memory import keep_freed_memory

DEVICE = Annotated[
    Literal["cpu", "cuda", "auto"], typer.Option(help="Where to compute; auto is a GPU if there is one.")
]
DATA = Annotated[Path, typer.Option(parser=folder, metavar="DIR", help="The folder with MNIST's four files.")]


def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.toml", help="What to train, and how.")],
    out: Annotated[
        Path, typer.Option(parser=folder, metavar="DIR", help="Where the run goes; DIR/checkpoint can be served.")
    ],
    data: DATA = Path("data/mnist"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in DIR, if one began there.")] = False,
    threads: Annotated[
        int | None,
        typer.Option(min=1, max=1024, help="CPU threads; left out, all, or as many as a resumed run began with."),
    ] = None,
    device: DEVICE = "auto",
) -> None:
    """Train a model and keep its best weights.

    Interrupted at any instant and started again with --resume, a run ends with the weights, to the bit, of one that
    was never interrupted.
    """
    from app.cli.training_bar import TrainingBar
    from models.data import load_mnist, origin
    from models.device import find_device
    from models.errors import RecipeError
    from models.training import load_recipe
    from models.training import train as run

    keep_freed_memory()
    where = find_device(device)
    plan = load_recipe(recipe)
    digits = load_mnist(data, "train")
    provenance = origin(data, "train") | {"commit": _commit()}
    bar = TrainingBar(plan)
    try:
        end = run(plan, digits, out, resume=resume, threads=threads, device=where, provenance=provenance, reporter=bar)
    except RecipeError as error:
        raise RecipeError(f"{recipe}: {error}") from error
    except KeyboardInterrupt:
        typer.echo(f"interrupted: go on with --resume; {out} is as after the last whole epoch", err=True)
        raise typer.Exit(130) from None
    which = f"epoch {end.best_epoch}" if plan.training else "greatest likelihood, in closed form"
    bound = plan.bound(end.best_epoch)
    best = "" if end.best_negative_elbo is None else f", validation -{bound} {end.best_negative_elbo:.2f} nats"
    early = f", stopped early after epoch {end.epoch}" if end.stopped_early else ""
    typer.echo(f"{out / 'checkpoint'}: the weights of {which}{best}{early}")


def _commit() -> str | None:
    """The commit this program is at, marked when its files differ from it; None outside a checkout of its own."""
    root = Path(__file__).resolve().parents[2]

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603

    try:
        if Path(git("rev-parse", "--show-toplevel")) != root:  # it is installed within somebody else's
            return None
        return git("describe", "--always", "--dirty", "--abbrev=40", "--match=")
    except (OSError, subprocess.CalledProcessError):
        return None
