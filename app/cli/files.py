"""`reparam encode`, `decode` and `sample`: the service's calls, on files and offline, through the same engine."""

import asyncio
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from app.images import Fit, ImageError, Polarity, contact_sheet, fit_image, read_image
from app.numbers import kind_of, rows_of_numbers
from models.errors import InputError, ReparamError

if TYPE_CHECKING:
    import numpy as np

    from app.engine import Array, Model

MODEL = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|DIR",
        help="A shipped checkpoint, or a folder (with a /); left out, the one that made the codes, else mnist-conv.",
    ),
]
OUT = Annotated[Path, typer.Option(metavar="FILE", help="Where the answer goes; the ending says in what form.")]
COLUMNS = Annotated[int | None, typer.Option(min=1, max=1024, help="Of the contact sheet; left out, about square.")]
SCALE = Annotated[int, typer.Option(min=1, max=16, help="How many pixels wide a pixel of the PNG is.")]
CODES = ("mean", "latents")  # what a file has them as: the first it has is taken
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
    codes = _read_codes(latents)
    served = _load(_maker(codes) if model is None else model)
    rows = codes.of(served)
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
    """The model of this name; by default the first that is shipped. Raises: CheckpointError."""
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


class _Codes:
    """Codes of a file: its numbers, not looked at yet, and the name of the model that made them, if the file has it."""

    def __init__(self, path: Path, name: str, numbers: "list[Any] | np.ndarray", model: str | None) -> None:
        self.path, self.name, self.numbers, self.model = path, name, numbers, model

    def of(self, model: "Model") -> "Array":
        """(N, Z) float32. Raises: InputError: if they are no codes of the model."""
        import numpy as np

        from app.tensors import as_latents

        if self.model not in (None, model.name):
            raise InputError(f"{self.path}: expected codes of {model.name}, found those of {self.model}")
        try:
            if isinstance(self.numbers, list):
                return rows_of_numbers(self.name, self.numbers, model.latents)
            with np.errstate(over="ignore"):  # which as_latents tells
                return as_latents(self.numbers.astype(np.float32), model.latents)
        except InputError as error:
            raise InputError(
                f"{self.path}: expected latent vectors, N lists of {model.latents} numbers: {error}"
            ) from error


def _maker(codes: _Codes) -> str | None:
    """Who made them, if the file says so, and it is shipped. Raises: InputError: if it is not."""
    from models.files import shipped_names

    if codes.model is not None and codes.model not in shipped_names():
        raise InputError(
            f"{codes.path}: its codes are of {codes.model!r:.80}, which is not shipped: expected its folder as --model"
        )
    return codes.model


def _read_codes(path: Path) -> _Codes:
    """What `encode` writes, the service answers, or .npy. Raises: InputError: if it is nothing of the kind."""
    import io

    import numpy as np
    import orjson
    from safetensors import safe_open

    _check_ending(path, ".json", ".npz", ".safetensors", ".npy")
    data = _read(path)
    found: Mapping[str, Any]
    try:
        if path.suffix == ".json":
            found = orjson.loads(data)
            if not isinstance(found, dict):
                raise InputError(f'expected an object with "mean" or "latents", found {kind_of(found)}')
            model = found.get("model")
        elif path.suffix == ".safetensors":
            with safe_open(path, "np") as file:
                model = (file.metadata() or {}).get("model")
                found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        else:
            loaded = np.load(io.BytesIO(data), allow_pickle=False)
            found = {"latents": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
            model = str(found["model"]) if "model" in found else None
        name = next((name for name in CODES if name in found), None)
        if name is None:
            raise InputError(f"expected {' or '.join(CODES)} in it, found {', '.join(map(str, found)) or 'nothing'}")
        numbers = found[name]
        if isinstance(numbers, np.ndarray) and numbers.dtype.kind not in "iuf":
            raise InputError(f"expected real numbers, found {numbers.dtype}")
        if not isinstance(numbers, list | np.ndarray):
            raise InputError(f"{name}: expected lists of numbers, found {kind_of(numbers)}")
    except Exception as error:  # damage is met with a dozen kinds
        reason = (str(error).splitlines() or ["too large"])[0]
        raise InputError(f"{path}: expected latent vectors: {reason}") from error
    return _Codes(path, name, numbers, model if isinstance(model, str) else None)


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
        np.savez(buffer, allow_pickle=False, model=model, **arrays)
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
