"""A small recipe, as a document to change, as a Recipe, and as a file."""

import json
from pathlib import Path
from typing import Any

from models.data import Digits
from models.training import Recipe


def document(**changes: Any) -> dict[str, Any]:
    """What a recipe's TOML says; `training__epochs=3` sets the key `epochs` of the table `training`; None removes."""
    recipe: dict[str, Any] = {
        "name": "tiny",
        "seed": 0,
        "model": {
            "kind": "vae",
            "architecture": {"encoder": [16], "latents": 4, "decoder": [16]},
            "likelihood": {"kind": "bernoulli"},
        },
        "data": {"validation": 100, "binarize": True},
        "training": {"epochs": 3, "batch_size": 50, "learning_rate": 3e-3, "schedule": "constant"},
    }
    for keys, value in changes.items():
        *tables, key = keys.split("__")
        part = recipe
        for table in tables:
            part = part[table]
        part[key] = value
        if value is None:
            del part[key]
    return recipe


def make_recipe(**changes: Any) -> Recipe:
    return Recipe.model_validate(document(**changes))


def write_recipe(path: Path, **changes: Any) -> Path:
    path.write_text("\n".join(_table(document(**changes))) + "\n")
    return path


def first(digits: Digits, count: int) -> Digits:
    return Digits(digits.images[:count], digits.labels[:count])


def _table(table: dict[str, Any], name: str = "") -> list[str]:
    """TOML: numbers, strings and lists are written as in JSON."""
    lines = [f"[{name}]"] if name else []
    lines += [f"{key} = {json.dumps(value)}" for key, value in table.items() if not isinstance(value, dict)]
    for key, value in table.items():
        if isinstance(value, dict):
            lines += _table(value, f"{name}.{key}".lstrip("."))
    return lines
