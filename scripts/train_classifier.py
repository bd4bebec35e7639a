"""Make the classifier of digits that `reparam evaluate` measures samples with:

    reparam data fetch --to data/mnist
    python -m scripts.train_classifier --data data/mnist

Five minutes on one core. The same data, torch and processor give the same weights to the bit.
"""

import argparse
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from models.data import load_mnist
from models.data.pixels import as_vectors
from models.errors import DataError
from models.evaluation.classifier import CONFIG_FILE, FOLDER, WEIGHTS_FILE, Classifier
from models.files import write_atomically

SEED = 0
EPOCHS, BATCH_SIZE = 24, 128
LEARNING_RATE, WEIGHT_DECAY, AVERAGE_DECAY = 4e-3, 1e-2, 0.998
TURN, ZOOM, SHIFT = 0.2, 0.12, 0.14  # the largest: radians; share of the size; of half the side, 2 pixels


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the classifier that evaluation uses.")
    parser.add_argument("--data", type=Path, default=Path("data/mnist"), metavar="DIR", help="MNIST's four files")
    parser.add_argument("--out", type=Path, default=FOLDER, metavar="DIR", help="where its two files go")
    options = parser.parse_args()
    torch.set_num_threads(1)
    try:
        (train, labels), (test, truth) = (_tensors(options.data, split) for split in ("train", "test"))
    except DataError as error:
        raise SystemExit(f"error: {error}") from error
    classifier = fit(train, labels)
    accuracy = (predict(classifier, test) == truth).float().mean().item()
    weights = save({key: tensor.contiguous() for key, tensor in classifier.state_dict().items()})
    config = {"sha256": hashlib.sha256(weights).hexdigest(), "test_accuracy": round(accuracy, 4)}
    write_atomically(options.out / WEIGHTS_FILE, weights)
    write_atomically(options.out / CONFIG_FILE, (json.dumps(config, indent=2) + "\n").encode())
    print(f"{options.out / WEIGHTS_FILE}: test accuracy {accuracy:.2%}")  # noqa: T201


def fit(images: Tensor, labels: Tensor) -> Classifier:
    """A classifier of images (N, 784) in [0, 1] with labels (N,): the moving average of the weights."""
    torch.manual_seed(SEED)
    model = Classifier().to(memory_format=torch.channels_last)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE_DECAY), use_buffers=True)
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
    steps = EPOCHS * (len(images) // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, steps, pct_start=0.2)
    for step, batch in enumerate(_batches(len(images)), 1):
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(augment(images[batch]))
        loss = F.cross_entropy(logits.float(), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        average.update_parameters(model)
        if step % 500 == 0:
            print(f"step {step}/{steps}  cross-entropy {loss.item():.4f} nats", flush=True)  # noqa: T201
    fitted = average.module
    assert isinstance(fitted, Classifier)  # noqa: S101  for the type checker
    return fitted.eval()


def augment(x: Tensor) -> Tensor:
    """Images (N, 784), each turned, resized and shifted a little."""
    turn, zoom, *shift = (2 * torch.rand(4, len(x)) - 1).unbind()
    cosine, sine = (1 + ZOOM * zoom) * (TURN * turn).cos(), (1 + ZOOM * zoom) * (TURN * turn).sin()
    rows = [torch.stack([cosine, -sine, SHIFT * shift[0]], -1), torch.stack([sine, cosine, SHIFT * shift[1]], -1)]
    image = x.reshape(-1, 1, 28, 28)
    grid = F.affine_grid(torch.stack(rows, 1), list(image.shape), align_corners=False)
    return F.grid_sample(image, grid, align_corners=False).flatten(1)


@torch.inference_mode()
def predict(classifier: Classifier, images: Tensor) -> Tensor:
    """The likeliest digit of each image (N, 784): (N,)."""
    return torch.cat([classifier(batch).argmax(-1) for batch in images.split(1000)])


def _batches(count: int) -> Iterator[Tensor]:
    for _ in range(EPOCHS):
        order = torch.randperm(count)
        yield from order[: count // BATCH_SIZE * BATCH_SIZE].split(BATCH_SIZE)


def _tensors(folder: Path, split: str) -> tuple[Tensor, Tensor]:
    digits = load_mnist(folder, split)  # type: ignore[arg-type]
    return as_vectors(digits), torch.from_numpy(digits.labels).long()


if __name__ == "__main__":
    main()
