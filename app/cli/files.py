"""`reparam encode`, `decode` and `sample`: the service's calls, on files and offline, through the same engine."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from app.images import Fit, ImageError, Polarity, contact_sheet, fit_image, read_image
from app.numbers import kind_of, rows_of_numbers
from models.errors import InputError, ReparamError

if TYPE_CHECKING:
    from app.engine import Array, Model

MODEL = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|DIR", help="A shipped checkpoint, or a folder (with a /); left out, the service's own choice."
    ),
]
OUT = Annotated[Path, typer.Option(metavar="FILE", help="Where the answer goes; the ending says in what form.")]
COLUMNS = Annotated[int | None, typer.Option(min=1, max=1024, help="Of the contact sheet; left out, about square.")]
SCALE = Annotated[int, typer.Option(min=1, max=16, help="How many pixels wide a pixel of the PNG is.")]
LOOK_S = 0.2  # between two looks at how far a model is

T = TypeVar("T")


def encode(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files.")],
    out: OUT = Path("latents.json"),
    model: MODEL = None,
    fit: Annotated[Fit | None, typer.Option(help="How a picture becomes the input; left out, what fits it.")] = None,
    polarity: Annotated[Polarity, typer.Option(help="What the strokes are.")] = "auto",
) -> None:
    """Encode images to the means and variances of their codes: FILE ends in .json, .npz or .safetensors."""
    import numpy as np

    from app.cli.progress_bar import LONG_S, ProgressBar

    _check_ending(out, ".json", ".npz", ".safetensors")
    served = _load(model)
    inputs = []
    with ProgressBar(LONG_S) as bar:
        for path in images:
            try:
                picture = read_image(_read(path))
            except ImageError as error:
                raise InputError(f"{path}: {error}") from error
            inputs.append(fit_image(picture, fit, polarity, served.image_shape[0], served.box))
            bar.show("read", len(inputs), len(images))
    mean, variance = asyncio.run(_shown("encoded", served, len(images), served.encode(np.stack(inputs))))
    arrays = {"mean": mean} | ({} if variance is None else {"variance": variance})
    _write_numbers(out, served.name, arrays)
    typer.echo(f"{out}: the codes of {len(images)} image{'s' if len(images) > 1 else ''}")


def decode(
    latents: Annotated[
        Path, typer.Argument(metavar="LATENTS", help="What `reparam encode` wrote, or .npy with (N, Z) numbers.")
    ],
    out: OUT = Path("decoded.png"),
    model: MODEL = None,
    columns: COLUMNS = None,
    scale: SCALE = 1,
) -> None:
    """Decode latent vectors to images: FILE ends in .png (several become a contact sheet) or .npy."""
    _check_ending(out, ".png", ".npy")
    served = _load(model)
    rows = _read_latents(latents, served.latents)
    if not len(rows):
        raise InputError(f"{latents}: expected at least one latent vector, found none")
    images = asyncio.run(_shown("decoded", served, len(rows), served.decode(rows)))
    _write_images(out, images, columns, scale)
    typer.echo(f"{out}: {len(images)} image{'s' if len(images) > 1 else ''}")


def sample(
    out: OUT = Path("samples.png"),
    count: Annotated[int, typer.Option(min=1, max=10_000, help="How many images.")] = 16,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**63 - 1, help="The noise; left out, a new one is drawn, and told.")
    ] = None,
    temperature: Annotated[float, typer.Option(min=0, max=10, help="Scales the noise.")] = 1.0,
    model: MODEL = None,
    columns: COLUMNS = None,
    scale: SCALE = 1,
) -> None:
    """Sample new digits from standard Gaussian noise: FILE ends in .png (a contact sheet) or .npy."""
    _check_ending(out, ".png", ".npy")
    images, seed = asyncio.run(_sample(_load(model), count, seed, temperature))
    _write_images(out, images, columns, scale)
    typer.echo(f"{out}: {count} image{'s' if count > 1 else ''}, seed {seed}")


def _load(name: str | None) -> "Model":
    from app.engine import Engine
    from app.settings import shipped
    from models.files import checkpoint_folder

    return Engine.load([checkpoint_folder(shipped()[0] if name is None else name)]).model()


async def _sample(model: "Model", count: int, seed: int | None, temperature: float) -> tuple["Array", int]:
    """The images of a sample and its seed, by its two steps, either of which may take long."""
    latents, its_seed = await _shown("drawn", model, count, model.draw(count, seed, temperature))
    return await _shown("decoded", model, count, model.decode(latents)), its_seed


async def _shown(what: str, model: "Model", rows: int, call: Coroutine[Any, Any, T]) -> T:
    """What a call of so many rows answers; until then a bar shows how many of them the model has taken."""
    from app.cli.progress_bar import LONG_S, ProgressBar

    task = asyncio.create_task(call)
    with ProgressBar(LONG_S) as bar:
        while not task.done():
            await asyncio.wait([task], timeout=LOOK_S)
            bar.show(what, rows - model.queue_images, rows)
    return task.result()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: expected a file: {error.strerror}") from error


def _read_latents(path: Path, width: int) -> "Array":
    """(N, Z) float32 from the forms that `encode` writes, and .npy."""
    import io

    import numpy as np
    import orjson
    from safetensors.numpy import load

    from app.tensors import as_latents

    _check_ending(path, ".json", ".npz", ".safetensors", ".npy")
    data = _read(path)
    try:
        if path.suffix == ".json":
            document = orjson.loads(data)
            if not isinstance(document, dict):
                raise InputError(f'expected an object with "mean" or "latents", found {kind_of(document)}')
            name = "mean" if "mean" in document else "latents"
            return rows_of_numbers(name, document[name], width)
        if path.suffix == ".safetensors":
            latents = load(data)["mean"]
        else:
            file = np.load(io.BytesIO(data), allow_pickle=False)
            latents = file if isinstance(file, np.ndarray) else file["mean"]
        if latents.dtype.kind not in "iuf":
            raise InputError(f"expected real numbers, found {latents.dtype}")
        with np.errstate(over="ignore"):  # which as_latents tells
            return as_latents(latents.astype(np.float32), width)
    except Exception as error:  # damage is met with a dozen kinds
        reason = (str(error).splitlines() or ["too large"])[0]
        raise InputError(f"{path}: expected latent vectors, N lists of {width} numbers: {reason}") from error


def _write_numbers(path: Path, model: str, arrays: dict[str, "Array"]) -> None:
    import io

    import numpy as np
    import orjson

    from app.tensors import write_safetensors

    if path.suffix == ".json":
        _write(path, orjson.dumps({"model": model} | arrays, option=orjson.OPT_SERIALIZE_NUMPY))
    elif path.suffix == ".safetensors":
        _write(path, write_safetensors(arrays, {"model": model}))
    else:
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        _write(path, buffer.getvalue())


def _write_images(path: Path, images: "Array", columns: int | None, scale: int) -> None:
    from app.tensors import write_npy

    _write(path, contact_sheet(images, columns, scale) if path.suffix == ".png" else write_npy(images))


def _write(path: Path, data: bytes) -> None:
    from models.files import write_atomically

    try:
        write_atomically(path, data)
    except OSError as error:
        raise ReparamError(f"{path}: cannot be written: {error.strerror}") from error


def _check_ending(path: Path, *endings: str) -> None:
    if path.suffix not in endings:
        raise InputError(f"{path}: expected a name ending in {', '.join(endings)}, found {path.suffix or 'no ending'}")
