"""Make app/web/digits.png, the real digits that the playground offers: MNIST's first fifty test digits of each label.

    python -m scripts.make_digit_sheet
    python -m scripts.make_digit_sheet --data data/mnist

Row n of the sheet holds digits of label n, so that it needs no second file. They are unchanged, to the bit, and in
MNIST's order; the test data in the repository has them all.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from models.data import load_mnist
from models.errors import DataError

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "app" / "web" / "digits.png"
LABELS, EACH = 10, 50
ABOUT = {
    "Source": "MNIST, test digits (LeCun, Cortes & Burges); row n has label n",
    "Copyright": "CC BY-SA 3.0, https://creativecommons.org/licenses/by-sa/3.0/",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=ROOT / "tests" / "data" / "mnist", help="the folder with MNIST's test files"
    )
    try:
        images, labels = load_mnist(parser.parse_args().data, "test")
    except DataError as error:
        raise SystemExit(f"error: {error}") from error
    rows = []
    for label in range(LABELS):
        found = images[labels == label][:EACH]  # (EACH, 28, 28)
        if len(found) < EACH:
            raise SystemExit(f"error: expected {EACH} test digits of label {label}, found {len(found)}")
        rows.append(np.concatenate(found, axis=1))
    about = PngInfo()
    for key, text in ABOUT.items():
        about.add_text(key, text)
    Image.fromarray(np.concatenate(rows)).save(TARGET, optimize=True, pnginfo=about)


if __name__ == "__main__":
    main()
