"""An evaluation as a folder: `figures.json`, `report.md` and the pictures."""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import orjson
from matplotlib.figure import Figure

from models.card import measured
from models.files import write_atomically

DOTS_PER_INCH = 120


def write_report(folder: Path, name: str, figures: Mapping[str, Any], pictures: Mapping[str, Figure]) -> None:
    """Write the folder, or write over the files of an earlier one. Raises: OSError: if it cannot be written."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, picture in pictures.items():
        data = BytesIO()
        picture.savefig(data, format="png", dpi=DOTS_PER_INCH)
        write_atomically(folder / file, data.getvalue())
    images = [f"![{Path(file).stem}]({file})" for file in pictures]
    report = "\n\n".join([f"# {name}", measured(figures), *images]) + "\n"
    write_atomically(folder / "report.md", report.encode())
    write_atomically(
        folder / "figures.json", orjson.dumps(figures, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    )
