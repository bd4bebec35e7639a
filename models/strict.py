"""What everything that is read from a file is checked by, and how what is wrong with it is told."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Discriminator, Field, ValidationError

# Neither text nor a bool is a number, and what a file records must fit into it.
Count = Annotated[int, Field(strict=True, ge=0, lt=2**31)]
PositiveCount = Annotated[int, Field(strict=True, gt=0, lt=2**31)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
# What a network is made of: far beyond what images of digits need, and built in a second or two.
Width = Annotated[int, Field(strict=True, gt=0, le=2**16)]
Widths = Annotated[tuple[Width, ...], Field(max_length=32)]
Depth = Annotated[int, Field(strict=True, ge=0, le=128)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Strict(BaseModel):
    """Unknown keys are mistakes, and what was read is not changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def by_kind(*kinds: str) -> Discriminator:
    """Which of these descriptions is meant, each the `Tag` of one: what its `kind` says, or without one the first."""

    def kind_of(value: object) -> str | None:
        kind = value.get("kind", kinds[0]) if isinstance(value, Mapping) else getattr(value, "kind", None)
        return kind if isinstance(kind, str) else None

    message = f"expected the kind {' or '.join(kinds)}"
    return Discriminator(kind_of, custom_error_type="kind", custom_error_message=message)


def explain(error: ValidationError, document: object = None) -> str:
    """A validation error as one line: each key, what was expected, what was found.

    Args:
        document: what was validated; a key is then told as it is there, without pydantic's names for alternatives.
    """
    parts = []
    for e in error.errors(include_url=False):
        where = ".".join(str(part) for part in _keys(e["loc"], document, e["type"] == "missing"))
        if e["type"] == "value_error":  # one of this project's own, which says what was found
            parts.append(f"{where}: {e['ctx']['error']}".removeprefix(": "))
            continue
        found = "" if e["type"] in ("missing", "extra_forbidden") else f", found {e['input']!r:.80}"
        parts.append(f"{where or 'the whole'}: {e['msg'][0].lower()}{e['msg'][1:]}{found}")
    return "; ".join(parts)


def _keys(path: tuple[int | str, ...], document: object, missing: bool) -> list[int | str]:
    """Of an error's path the keys of the document, the last of which it lacks if it is `missing`."""
    keys = []
    for number, part in enumerate(path):
        there = part in document if isinstance(document, Mapping) else isinstance(part, int)
        if not there and isinstance(document, Mapping | Sequence) and not (missing and number == len(path) - 1):
            continue  # the tag of a union
        keys.append(part)
        if isinstance(document, Mapping):
            document = document.get(part)
        elif isinstance(document, Sequence) and isinstance(part, int) and part < len(document):
            document = document[part]
        else:
            document = None
    return keys
