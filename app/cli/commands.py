"""The commands of `reparam`."""

import os
import sys
from typing import Annotated, TextIO

import typer

from app.cli.data import data
from app.cli.doctor import doctor
from app.cli.evaluation import evaluate
from app.cli.files import decode, encode, sample
from app.cli.serve import serve
from app.cli.training import train
from models.errors import ReparamError

# Of the `train` extra, which the service does without.
TRAINING_PACKAGES = ("httpx", "matplotlib", "scipy", "sklearn", "tensorboard")

cli = typer.Typer(
    name="reparam",
    help="Serve, train and try variational autoencoders.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
cli.command(epilog="Example: REPARAM_API_KEYS_FILE=keys.txt reparam serve --port 9000 --model mnist-mlp")(serve)
cli.command(epilog="Example: REPARAM_MODELS=runs/mine/checkpoint reparam doctor")(doctor)
cli.command(epilog="Example: reparam train models/recipes/mnist-mlp.toml --data data/mnist --out runs/mnist-mlp")(train)
cli.command(epilog="Example: reparam evaluate runs/mnist-mlp/checkpoint --data data/mnist")(evaluate)
cli.add_typer(data)
cli.command(epilog="Example: reparam encode digit.png --out latents.json")(encode)
cli.command(epilog="Example: reparam decode latents.json --out digit.png")(decode)
cli.command(epilog="Example: reparam sample --count 16 --seed 7 --out digits.png")(sample)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"reparam {version('reparam')}")
        raise typer.Exit


@cli.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Serve, train and try variational autoencoders."""


def _takes_a_line(stream: TextIO) -> bool:
    """Whether an empty line can be written to it: what an error was about that names no file."""
    try:
        stream.write("\n")
        stream.flush()
    except OSError:
        return False
    return True


def run() -> None:
    """Run the command: an expected error is one line on stderr and exit status 1."""
    try:
        cli()
    except ReparamError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if _takes_a_line(sys.stdout):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python itself complains at its end
        sys.exit(f"error: standard output: cannot be written: {error.strerror}")
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in TRAINING_PACKAGES:
            raise
        install = "pip install -c constraints.txt -e '.[train]'"
        sys.exit(f"error: {package} is not installed: this command needs {install}")
