"""Make app/web/digits.npy.gz, the real digits that the playground offers and places on its map.

    python -m scripts.make_web_digits
    python -m scripts.make_web_digits --data data/mnist

Of MNIST's test digits the first fifty of every class: 0 to 9, again 0 to 9, and so on, (500, 28, 28) uint8. No second
file need say which is which. They are unchanged, and all are in the repository's test data.
"""

import argparse
import gzip
import io
from pathlib import Path

import numpy as np

from models.data import load_mnist
from models.errors import DataError

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "app" / "web" / "digits.npy.gz"
CLASSES, EACH = 10, 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=ROOT / "tests" / "data" / "mnist", help="the folder with MNIST's test files"
    )
    try:
        images, labels = load_mnist(parser.parse_args().data, "test")
    except DataError as error:
        raise SystemExit(f"error: {error}") from error
    places = [np.flatnonzero(labels == label)[:EACH] for label in range(CLASSES)]
    if few := [f"{len(found)} of {label}" for label, found in enumerate(places) if len(found) < EACH]:
        raise SystemExit(f"error: expected {EACH} test digits of every class, found {', '.join(few)}")
    file = io.BytesIO()
    np.save(file, images[np.stack(places, 1).ravel()])
    TARGET.write_bytes(gzip.compress(file.getvalue(), mtime=0))


if __name__ == "__main__":
    main()
