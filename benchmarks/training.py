"""Training throughput of shipped recipes: of an MLP, on as many digits as MNIST has, and of a convolutional network.

It is the ELBO's, by which every recipe's first epochs go.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch

from models.data import Digits, load_mnist
from models.recipe import Elbo, Recipe
from models.training import EpochReport, Reporter, load_recipe, train

ROOT = Path(__file__).resolve().parent.parent
EPOCHS = 6
COUNTS = {"mnist-mlp": 60_000, "mnist-conv-narrow": 6_000}  # digits an epoch, of recipes that begin with no other run's


class Rates(Reporter):
    def __init__(self) -> None:
        self.found: list[float] = []

    def epoch(self, report: EpochReport) -> None:
        self.found.append(report.images_per_s)


def few_epochs(name: str) -> Recipe:
    """The beginning of a recipe."""
    recipe = load_recipe(ROOT / "models" / "recipes" / f"{name}.toml")
    assert recipe.training
    training = recipe.training.model_copy(update={"epochs": EPOCHS})
    return recipe.model_copy(update={"objective": Elbo(), "training": training})


def main() -> None:
    few = load_mnist(ROOT / "tests" / "data" / "mnist", "train")
    for name, count in COUNTS.items():
        recipe = few_epochs(name)
        needed = count + recipe.data.validation
        copies = -(-needed // len(few.images))
        digits = Digits(np.tile(few.images, (copies, 1, 1))[:needed], np.tile(few.labels, copies)[:needed])
        rates = Rates()
        with tempfile.TemporaryDirectory() as out:
            train(recipe, digits, Path(out), reporter=rates)
        warm = sorted(rates.found[1:])
        print(
            f"training {name}: {warm[len(warm) // 2]:,.0f} images/s "
            f"(median of {len(warm)} epochs of {count:,}; {warm[0]:,.0f} to {warm[-1]:,.0f}; "
            f"{torch.get_num_threads()} threads)"
        )


if __name__ == "__main__":
    main()
