"""`reparam evaluate`: measure a checkpoint."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from app.cli.folders import folder
from app.cli.memory import keep_freed_memory
from app.cli.training import DATA, DEVICE

if TYPE_CHECKING:
    from models.autoencoder import Autoencoder
    from models.checkpoint import Checkpoint, LatentMap
    from models.data import Digits
    from models.evaluation import Figures


def evaluate(
    checkpoint: Annotated[Path, typer.Argument(parser=folder, metavar="CHECKPOINT", help="The checkpoint's folder.")],
    data: DATA = Path("data/mnist"),
    samples: Annotated[int, typer.Option(min=1, help="Importance samples an image, K.")] = 1000,
    precision: Annotated[
        Literal["float32", "bfloat16"],
        typer.Option(
            help="Of the networks in the NLL: bfloat16 halves the time and moves a Bernoulli's by hundredths of a nat."
        ),
    ] = "float32",
    device: DEVICE = "auto",
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Of everything that is drawn.")] = 0,
    unlike: Annotated[
        Path | None,
        typer.Option(
            parser=folder,
            metavar="DIR",
            help="Other images, in files named as MNIST's: they should surprise the model.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(parser=folder, metavar="DIR", help="Write figures.json, report.md and pictures there."),
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Write the figures into the checkpoint and its card.")
    ] = False,
) -> None:
    """Measure a model on the test digits, by what applies to its kind, and print the figures as JSON."""
    import json
    from functools import partial

    from app.cli.progress_bar import ProgressBar
    from models.checkpoint import load_checkpoint
    from models.data import load_mnist, origin, readable
    from models.device import enough_memory, find_device
    from models.errors import CheckpointError, ReparamError
    from models.evaluation import evaluate as measure

    keep_freed_memory()
    if out:
        import models.evaluation.report  # noqa: F401  first of all: a missing package is told at once
    loaded = load_checkpoint(checkpoint)
    loaded.model.to(find_device(device))
    digits, training = load_mnist(data, "test"), load_mnist(data, "train")
    source = origin(data, "test")
    if unlike and not loaded.config.novelty:
        why = (
            "the run that makes it has not ended; go on with `reparam train --resume`"
            if loaded.config.training.get("validation_images")
            else "no digits were held out"
        )
        raise CheckpointError(f"{checkpoint}: --unlike expects novelty quantiles, found none: {why}")
    _check_writable(checkpoint if update else None, out)
    try:
        with enough_memory("try --device cpu"), ProgressBar() as bar:
            figures = measure(
                loaded.model,
                digits,
                training=training,
                novelty=loaded.config.novelty,
                unlike=load_mnist(unlike, "test") if unlike else None,
                samples=samples,
                precision=precision,
                seed=seed,
                progress=bar.show,
            )
    except CheckpointError as error:
        raise CheckpointError(f"{checkpoint}: {error}") from error
    if "data_licence" not in source:  # it is not MNIST's own file, of which a card's figures are
        figures["test_data"] = source["data"]
    if unlike:
        figures["unlike"] = readable(unlike.resolve().name)
    if odd := _not_finite(figures):
        raise CheckpointError(f"{checkpoint}: expected finite figures, found {', '.join(odd)}")
    # What has taken long is written before it is printed, and all of it tried.
    writes = [partial(_report, loaded, digits, figures, out, seed)] if out else []
    writes += [partial(_update, loaded, digits, figures)] if update else []  # takes the folder from who works in it
    failures = []
    for write in writes:
        try:
            write()
        except ReparamError as error:
            failures.append(str(error))
    try:
        typer.echo(json.dumps(figures, indent=2))
    finally:
        if failures:
            raise ReparamError("; ".join(failures))


def _check_writable(checkpoint: Path | None, out: Path | None) -> None:
    """Raises: CheckpointError, DataError: if what is to be written to cannot be, before anything is measured."""
    from models.errors import CheckpointError, DataError
    from models.files import check_writable

    if checkpoint:
        try:
            check_writable(checkpoint)
        except OSError as error:
            raise CheckpointError(f"{checkpoint}: cannot be written: {error.strerror}") from error
    if out:
        if out.exists() and not out.is_dir():
            raise DataError(f"{out}: expected a folder for the report, found a file")
        try:
            out.mkdir(parents=True, exist_ok=True)
            check_writable(out / "figures.json")
        except OSError as error:
            raise DataError(f"{out}: expected a folder for the report: {error.strerror}") from error


def _update(loaded: "Checkpoint", digits: "Digits", figures: "Figures") -> None:
    from models.checkpoint import update_checkpoint
    from models.errors import CheckpointError

    latent_map = _latent_map(loaded.model, digits) if loaded.model.latents == 2 else None
    try:
        update_checkpoint(loaded.path, loaded.config.weights.sha256, metrics=figures, latent_map=latent_map)
    except OSError as error:
        raise CheckpointError(f"{loaded.path}: cannot be written, and is as it was: {error.strerror}") from error


def _report(loaded: "Checkpoint", digits: "Digits", figures: "Figures", out: Path, seed: int) -> None:
    from models.errors import DataError
    from models.evaluation.pictures import draw_pictures
    from models.evaluation.report import write_report

    try:
        pictures = draw_pictures(loaded.model, digits, figures, loaded.path.resolve().parent, seed)
        write_report(out, loaded.name, figures, pictures)
    except OSError as error:
        raise DataError(f"{out}: the report cannot be written: {error.strerror}") from error


def _not_finite(figures: "Figures") -> list[str]:
    import math

    numbers = {key: value if isinstance(value, list) else [value] for key, value in figures.items()}
    return [
        f"{key} {value}"
        for key, values in numbers.items()
        for value in values
        if not isinstance(value, str) and not math.isfinite(value)
    ]


def _latent_map(model: "Autoencoder", digits: "Digits") -> "LatentMap | None":
    import numpy as np

    from models.checkpoint import LatentMap
    from models.evaluation.codes import codes
    from models.evaluation.evaluate import pixels

    mean = codes(model, pixels(digits, model)).cpu().numpy()
    furthest, most = np.abs(mean).max(), np.finfo(np.float16).max
    if furthest > most:
        typer.echo(f"no map is kept: expected codes up to {most:g}, which float16 holds, found {furthest:g}", err=True)
        return None
    return LatentMap(mean.astype(np.float16), digits.labels)
