"""Write the test digits that come with the playground: `python scripts/make_web_digits.py tests/data/mnist`.

Of the test set's first thousand the first few of every class: 0 to 9, again 0 to 9, and so on, (N, 28, 28) uint8.
"""

import sys
from pathlib import Path

import numpy as np

from models.data import load_mnist

OF_EACH = 6
TO = Path(__file__).parent.parent / "app" / "web" / "digits.npy"

if __name__ == "__main__":
    test = load_mnist(Path(sys.argv[1]), "test")
    places = np.stack([np.flatnonzero(np.asarray(test.labels) == digit)[:OF_EACH] for digit in range(10)])  # (10, N)
    np.save(TO, np.asarray(test.images)[places.T.ravel()].reshape(-1, 28, 28).astype(np.uint8))
