"""Make tests/data/mnist: MNIST's first 2,000 training digits and first 1,000 test digits, in four IDX files.

    reparam data fetch --to data/mnist
    python scripts/make_test_data.py data/mnist

The same source always gives the same content; the compressed bytes may differ with the version of zlib.
"""

import argparse
from pathlib import Path

from models.data import read_idx, write_idx
from models.data.mnist import SPLITS, find_files
from models.errors import DataError

COUNTS = {"train": 2000, "test": 1000}
TARGET = Path(__file__).resolve().parent.parent / "tests" / "data" / "mnist"


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the test data from MNIST's own files.")
    parser.add_argument("source", type=Path, metavar="SOURCE_DIR", help="the folder of MNIST's four files")
    source = parser.parse_args().source
    try:
        for split, count in COUNTS.items():
            for name, path in zip(SPLITS[split], find_files(source, SPLITS[split]), strict=True):
                write_idx(TARGET / f"{name}.gz", read_idx(path)[:count])
    except DataError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
