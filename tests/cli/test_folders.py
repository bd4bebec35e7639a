from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli.commands import cli


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "recipe.toml", "--out", ""],
        ["train", "recipe.toml", "--out", "run", "--data", ""],
        ["evaluate", ""],
        ["evaluate", "checkpoint", "--data", ""],
        ["evaluate", "checkpoint", "--out", ""],
        ["evaluate", "checkpoint", "--unlike", ""],
        ["data", "fetch", "--to", ""],
        ["data", "info", ""],
    ],
    ids=" ".join,
)
def test_an_empty_name_is_no_folder(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    end = CliRunner().invoke(cli, arguments, terminal_width=200)
    assert end.exit_code == 2
    assert "expected a folder, found an empty name" in end.stderr
    assert not list(tmp_path.iterdir())
