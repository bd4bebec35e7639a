"""Prints the table of settings in README.md: python -m scripts.settings_table"""

from app.settings import Settings


def table() -> str:
    """Every setting: its variable, its default and what it is, in Markdown."""
    rows = ["| variable | default | what |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        shown = "" if field.default is None or field.default_factory else f"`{field.default}`"
        rows.append(f"| `REPARAM_{name.upper()}` | {shown} | {field.description} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())  # noqa: T201
