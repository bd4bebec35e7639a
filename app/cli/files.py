"""`reparam encode`, `decode` and `sample`: the service's calls, on files and offline, through the same engine."""

import asyncio
from collections.abc import Collection, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar

import typer

from app.images import Fit, ImageError, Polarity, contact_sheet, fit_image, read_image
from app.numbers import kind_of, rows_of_numbers
from models.errors import InputError, ReparamError

if TYPE_CHECKING:
    import numpy as np

    from app.engine import Array, Model

MODEL = Annotated[
    str | None,
    typer.Option(metavar="NAME|DIR", help="A shipped checkpoint, or a folder (with a /); left out, mnist-conv."),
]
OUT = Annotated[Path, typer.Option(metavar="FILE", help="Where the answer goes; the ending says in what form.")]
COLUMNS = Annotated[int | None, typer.Option(min=1, max=1024, help="Of the contact sheet; left out, about square.")]
SCALE = Annotated[int, typer.Option(min=1, max=16, help="How many pixels wide a pixel of the PNG is.")]
CODES = ("mean", "latents")  # what a file has them as: the first it has is taken
LOOK_S = 0.2  # between two looks at how far a model is

T = TypeVar("T")
Found = tuple[str, Any, Mapping[str, Any]]  # of a file: what its codes are called there, they, and what else it tells


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
    made_by = {"model": served.name, "sha256": served.config.weights.sha256}
    _write_numbers(out, made_by, arrays)
    typer.echo(f"{out}: the codes of {len(images)} image{'s' if len(images) > 1 else ''}")


def decode(
    latents: Annotated[
        Path, typer.Argument(metavar="LATENTS", help="What `reparam encode` wrote, or .npy with (N, Z) numbers.")
    ],
    out: OUT = Path("decoded.png"),
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|DIR",
            help="A shipped checkpoint, or a folder (with a /); left out, the shipped one that made the codes, else "
            "mnist-conv.",
        ),
    ] = None,
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


class _Codes(NamedTuple):
    """Codes of a file: its numbers, not looked at yet, and which model made them, if the file says so."""

    path: Path
    name: str
    numbers: "list[Any] | np.ndarray"
    model: str | None
    sha256: str | None  # of its weights

    def of(self, model: "Model") -> "Array":
        """(N, Z) float32. Raises: InputError: if they are no codes of the model."""
        import numpy as np

        from app.tensors import as_latents

        if self.model not in (None, model.name):
            raise InputError(f"{self.path}: expected codes of {model.name}, found those of {self.model}")
        if self.sha256 not in (None, sha256 := model.config.weights.sha256):
            raise InputError(
                f"{self.path}: expected codes of {model.name} of sha256 {sha256:.12}, found those of other weights, "
                f"{self.sha256:.12}; name their folder with --model"
            )
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
    readers = {".json": _in_json, ".npz": _in_numpys, ".npy": _in_numpys, ".safetensors": _in_safetensors}
    _check_ending(path, *readers)
    try:
        path.open("rb").close()
    except OSError as error:
        raise InputError(f"{path}: expected a file: {error.strerror}") from error
    try:
        name, numbers, told = readers[path.suffix](path)
    except Exception as error:  # damage is met with a dozen kinds
        reason = (str(error).splitlines() or ["too large"])[0]
        raise InputError(f"{path}: expected latent vectors: {reason}") from error
    model, sha256 = (str(told[key]) if told.get(key) is not None else None for key in ("model", "sha256"))
    return _Codes(path, name, numbers, model, sha256)


def _in_json(path: Path) -> Found:
    import orjson

    document = orjson.loads(path.read_bytes())
    if not isinstance(document, dict):
        raise InputError(f'expected an object with "mean" or "latents", found {kind_of(document)}')
    name = _chosen(document)
    if not isinstance(document[name], list):
        raise InputError(f"{name}: expected lists of numbers, found {kind_of(document[name])}")
    return name, document[name], document


def _in_safetensors(path: Path) -> Found:
    from safetensors import safe_open

    with safe_open(path, "np") as file:
        name = _chosen(file.keys())
        return name, _real(file.get_tensor(name)), file.metadata() or {}


def _in_numpys(path: Path) -> Found:
    import numpy as np

    with path.open("rb") as file:
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return "latents", _real(loaded), {}
        name = _chosen(loaded.files)
        return name, _real(loaded[name]), {key: loaded[key] for key in ("model", "sha256") if key in loaded.files}


def _chosen(names: Collection[str]) -> str:
    """Of what a file has, its codes."""
    found = next((name for name in CODES if name in names), None)
    if found is None:
        raise InputError(f"expected {' or '.join(CODES)} in it, found {', '.join(map(str, names)) or 'nothing'}")
    return found


def _real(array: "np.ndarray") -> "np.ndarray":
    if not hasattr(array, "dtype") or array.dtype.kind not in "iuf":
        raise InputError(f"expected real numbers, found {getattr(array, 'dtype', 'bytes')}")
    return array


def _write_numbers(path: Path, made_by: dict[str, str], arrays: dict[str, "Array"]) -> None:
    import io

    import numpy as np

    from app.json_bodies import dump_object
    from app.tensors import write_safetensors

    if path.suffix == ".json":
        _write(path, dump_object(made_by | arrays))
    elif path.suffix == ".safetensors":
        _write(path, write_safetensors(arrays, made_by))
    else:
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **made_by, **arrays)
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
