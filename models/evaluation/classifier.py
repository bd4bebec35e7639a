"""A small classifier of digits: what samples look like to something that has learnt digits, and nothing of the model.

Its weights lie beside this file; `python -m scripts.train_classifier` makes them.
"""

import hashlib
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from models.errors import CheckpointError
from models.strict import Number, Sha256, Strict, explain

FOLDER = Path(__file__).resolve().parent
CONFIG_FILE, WEIGHTS_FILE = "classifier.json", "classifier.safetensors"
FEATURES = 64


class ClassifierConfig(Strict):
    """What `classifier.json` says of the weights beside it."""

    sha256: Sha256
    test_accuracy: Annotated[Number, Field(ge=0, le=1)]  # on MNIST's 10,000 test digits


class Classifier(nn.Module):
    """Four convolutions, the mean over the image, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            *_convolution(1, 32, kernel=5, stride=2),  # (N, 32, 14, 14)
            *_convolution(32, 32, kernel=3, stride=1),
            *_convolution(32, 64, kernel=3, stride=2),  # (N, 64, 7, 7)
            *_convolution(64, FEATURES, kernel=3, stride=1),
        )
        self.last = nn.Linear(FEATURES, 10)

    def features(self, x: Tensor) -> Tensor:
        """What the last layer sees of images x (N, 784) in [0, 1]: (N, 64)."""
        image = x.reshape(-1, 1, 28, 28).contiguous(memory_format=torch.channels_last)
        return self.convolutions(image).mean((2, 3))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """The logit of each digit for images x (N, 784) in [0, 1]: (N, 10)."""
        return self.last(self.features(x))  # type: ignore[no-any-return]


def load_classifier(folder: Path = FOLDER) -> Classifier:
    """The classifier that is shipped, in evaluation mode.

    Raises: CheckpointError: if a file is missing or damaged.
    """
    config, weights = folder / CONFIG_FILE, folder / WEIGHTS_FILE
    try:
        expected = ClassifierConfig.model_validate_json(config.read_bytes()).sha256
        data = weights.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{error.filename}: expected a file of the classifier: {error.strerror}") from error
    except ValidationError as error:
        raise CheckpointError(f"{config}: {explain(error)}") from error
    if (found := hashlib.sha256(data).hexdigest()) != expected:
        raise CheckpointError(f"{weights}: expected sha256 {expected}, found {found}")
    with torch.device(
        "meta"
    ):  # no memory and no draw from torch's own generator: the file's tensors become the weights
        classifier = Classifier()
    try:
        classifier.load_state_dict(load_tensors(data), assign=True)
    except (SafetensorError, RuntimeError) as error:
        raise CheckpointError(f"{weights}: expected the classifier's tensors: {error}") from error
    return classifier.requires_grad_(False).eval()


def _convolution(incoming: int, outgoing: int, *, kernel: int, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(incoming, outgoing, kernel, stride, kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(outgoing), nn.ReLU()]
