"""`reparam train` and `reparam evaluate`: make a checkpoint and measure it."""

import subprocess
from pathlib import Path
from typing import Annotated

import typer

DATA = Annotated[Path, typer.Option(metavar="DIR", help="The folder with MNIST's four files.")]


def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.toml", help="What to train, and how.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the run goes; DIR/checkpoint can be served.")],
    data: DATA = Path("data/mnist"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in DIR, if one began there.")] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads; a resumed run keeps the count that it began with.")
    ] = None,
) -> None:
    """Train a model and keep its best weights.

    Interrupted at any instant and started again with --resume, a run ends with the weights, to the bit, of one that
    was never interrupted.
    """
    from app.cli.training_bar import TrainingBar
    from models.data import load_mnist
    from models.errors import RecipeError
    from models.training import load_recipe
    from models.training import train as run

    plan = load_recipe(recipe)
    digits = load_mnist(data, "train")
    provenance = {
        "data": "MNIST, training digits (LeCun, Cortes & Burges)",
        "data_licence": "CC BY-SA 3.0",
        "commit": _commit(),
    }
    bar = TrainingBar()
    try:
        end = run(plan, digits, out, resume=resume, threads=threads, provenance=provenance, reporter=bar)
    except RecipeError as error:
        raise RecipeError(f"{recipe}: {error}") from error
    except KeyboardInterrupt:
        typer.echo(f"interrupted: go on with --resume; {out} is as after the last whole epoch", err=True)
        raise typer.Exit(130) from None
    if not bar.epochs_seen:
        typer.echo(f"{out}: this run was finished before; nothing was changed", err=True)
    best = "" if end.best_negative_elbo is None else f", validation -ELBO {end.best_negative_elbo:.2f} nats"
    early = f", stopped early after epoch {end.epoch}" if end.stopped_early else ""
    typer.echo(f"{out / 'checkpoint'}: the weights of epoch {end.best_epoch}{best}{early}")


def evaluate(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="The checkpoint's folder.")],
    data: DATA = Path("data/mnist"),
    samples: Annotated[int, typer.Option(min=1, help="Importance samples an image, K.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Of the binarization and of the samples.")] = 0,
    update: Annotated[
        bool, typer.Option("--update", help="Write the figures into the checkpoint and its card.")
    ] = False,
) -> None:
    """Measure a model on the test digits, and print the figures as JSON."""
    import json
    import math

    from rich.console import Console
    from rich.progress import track

    from models.checkpoint import load_checkpoint, update_checkpoint
    from models.data import load_mnist
    from models.errors import CheckpointError
    from models.evaluation import evaluate as measure
    from models.vae import VAE

    model = load_checkpoint(checkpoint).model
    if not isinstance(model, VAE):
        raise CheckpointError(f"{checkpoint}: expected a VAE, found {type(model).__name__}")
    digits = load_mnist(data, "test")
    bar = iter(track(range(len(digits.images)), "NLL", console=Console(stderr=True)))

    def advance(images: int) -> None:
        for _ in range(images):
            next(bar, None)

    figures = measure(model, digits, samples=samples, seed=seed, progress=advance)
    next(bar, None)  # closes the bar
    if odd := [f"{key} {value}" for key, value in figures.items() if not math.isfinite(value)]:
        raise CheckpointError(f"{checkpoint}: expected finite figures, found {', '.join(odd)}")
    typer.echo(json.dumps(figures, indent=2))
    if update:
        try:
            update_checkpoint(checkpoint, metrics=figures)
        except OSError as error:
            raise CheckpointError(f"{checkpoint}: cannot be written, and is as it was: {error.strerror}") from error


def _commit() -> str | None:
    """The commit this program is at, marked when its files differ from it; None outside a checkout."""
    here = Path(__file__).parent
    try:
        git = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--match="]
        return subprocess.run(git, cwd=here, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None
