"""Folders that a command is given."""

from pathlib import Path

import typer


def folder(name: str | Path) -> Path:
    """The folder of a name. Raises: typer.BadParameter: if it is empty, which a path takes for the one at hand."""
    if not str(name):
        raise typer.BadParameter("expected a folder, found an empty name; the folder at hand is .")
    return Path(name)
