"""Writes the table of settings into docs/configuration.md: python -m scripts.settings_table"""

import re
from pathlib import Path

from app.settings import Settings


def table() -> str:
    """Every setting: its variable, its default and what it is, in Markdown."""
    rows = ["| variable | default | what |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        shown = "" if field.default in (None, ()) or field.default_factory else f"`{field.default}`"
        rows.append(f"| `REPARAM_{name.upper()}` | {shown} | {field.description} |")
    return "\n".join(rows)


if __name__ == "__main__":
    page = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"
    rows = re.compile(r"\| variable \| default \| what \|\n(\|.*\n)*")
    page.write_text(rows.sub(lambda _: table() + "\n", page.read_text()))
