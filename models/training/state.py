"""The state of a run between two epochs: with it, a run that was interrupted ends as one that was not.

One safetensors file: the tensors of the model, of the averaged model and of Adam, and a line of JSON for the rest.
Randomness needs no state: every epoch draws from a generator seeded by the recipe's seed and the epoch's number.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from models.errors import TrainingError
from models.files import write_atomically
from models.recipe import Recipe

STATE_FILE = "state.safetensors"
ADAM_TENSORS = ("step", "exp_avg", "exp_avg_sq")


class RunState(BaseModel):
    """Where a run is."""

    model_config = ConfigDict(extra="forbid")

    recipe: Recipe
    data_sha256: str
    start_sha256: str | None = None  # of the weights of the recipe's `start`
    threads: int  # sums are split by thread: another count rounds otherwise
    devices: tuple[str, ...] = ()  # where its epochs were computed, one after another
    epoch: int = 0  # epochs done
    step: int = 0  # optimizer steps done
    best_epoch: int = 0
    best_loss: float | None = None  # that epoch's objective for the held-out digits
    best_negative_elbo: float | None = None  # or its other bound; of the same, in nats an image
    stopped_early: bool = False

    @property
    def finished(self) -> bool:
        """A closed form takes one epoch, as it were."""
        return self.stopped_early or self.epoch >= (self.recipe.training.epochs if self.recipe.training else 1)

    @property
    def metrics(self) -> dict[str, float]:
        """What the best weights' checkpoint says of them."""
        best = self.best_negative_elbo
        return {} if best is None else {"validation_negative_elbo_nats": best}


def save_state(
    folder: Path,
    progress: RunState,
    modules: Mapping[str, nn.Module] | None = None,
    optimizer: torch.optim.Adam | None = None,
) -> None:
    """Write the state atomically; a run that is done needs no tensors to go on from. Raises: OSError."""
    tensors = {
        f"{name}/{key}": value for name, module in (modules or {}).items() for key, value in module.state_dict().items()
    }
    tensors |= _adam_tensors(optimizer) if optimizer else {}
    tensors = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in tensors.items()}
    metadata = {"progress": progress.model_dump_json(), "sha256": _digest(tensors)}
    write_atomically(folder / STATE_FILE, save_tensors(tensors, metadata))


def read_run_state(folder: Path) -> RunState | None:
    """Where the run in `folder` is; None if it has not finished an epoch. Raises: TrainingError: if unreadable."""
    path = folder / STATE_FILE
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            return RunState.model_validate_json((file.metadata() or {}).get("progress", ""))
    except (SafetensorError, ValidationError, OSError) as error:
        raise TrainingError(f"{path}: expected the state of a training run: {str(error).splitlines()[0]}") from error


def load_state(folder: Path, modules: Mapping[str, nn.Module], optimizer: torch.optim.Adam) -> None:
    """Put the saved tensors back into the modules and the optimizer. Raises: TrainingError: if they do not fit."""
    path = folder / STATE_FILE
    try:
        with safe_open(path, framework="pt") as file:
            expected = (file.metadata() or {}).get("sha256")
        tensors = load_tensors(path.read_bytes())  # safe_open's would make a ValueError of Ctrl-C
        found = _digest(tensors)
        if found != expected:
            raise TrainingError(f"{path}: expected tensors of sha256 {expected}, found {found}")
        for name, module in modules.items():
            module.load_state_dict(
                {key.removeprefix(f"{name}/"): t for key, t in tensors.items() if key.startswith(f"{name}/")}
            )
        parameters = optimizer.param_groups[0]["params"]
        state = {i: {key: tensors[f"adam/{i}/{key}"] for key in ADAM_TENSORS} for i in range(len(parameters))}
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    except (SafetensorError, OSError, KeyError, RuntimeError) as error:
        raise TrainingError(f"{path}: expected the tensors of this recipe: {str(error).splitlines()[0]}") from error


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """The sha256 of all tensors' bytes, in the order of their names."""
    digest = hashlib.sha256()
    for key in sorted(tensors):
        digest.update(tensors[key].numpy().tobytes())
    return digest.hexdigest()


def _adam_tensors(optimizer: torch.optim.Adam) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {f"adam/{i}/{key}": tensors[key] for i, tensors in state.items() for key in ADAM_TENSORS}
