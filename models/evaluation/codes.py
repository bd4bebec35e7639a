"""What codes tell of images: how many of their numbers are used, and how well they tell digits apart."""

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from models.autoencoder import Autoencoder
from models.evaluation.batches import Progress, in_batches, unseen

ACTIVE = 0.01  # Burda, Grosse & Salakhutdinov 2016, section 5.2: a unit whose mean varies more than this is active
NEIGHBOURS = 5

Labels = npt.NDArray[np.uint8]


def codes(model: Autoencoder, x: Tensor, progress: Progress = unseen) -> Tensor:
    """The posterior's mean, or the code, of images x (N, D) in [0, 1]: (N, Z)."""
    return in_batches(lambda batch: model.encode(batch).mean, x, "codes", progress)


def active_units(mean: Tensor) -> int:
    """How many of the Z numbers depend on the image, of the posterior means (N, Z) of images."""
    return int((mean.var(0, correction=0) > ACTIVE).sum())


def probe_figures(training: Tensor, training_labels: Labels, test: Tensor, test_labels: Labels) -> dict[str, float]:
    """How many test digits are told right from their codes (N, Z), after codes of training digits.

    The linear probe is logistic regression on numbers scaled to the variance 1, kNN a vote of the 5 nearest codes.
    """
    probes = {
        "linear_probe_accuracy": make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
        "knn_accuracy": KNeighborsClassifier(NEIGHBOURS, algorithm="brute"),
    }
    for probe in probes.values():
        probe.fit(training.cpu().numpy(), training_labels)
    return {name: float(probe.score(test.cpu().numpy(), test_labels)) for name, probe in probes.items()}
