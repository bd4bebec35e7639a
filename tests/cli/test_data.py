import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.text import Text
from typer.testing import CliRunner

from app.cli.data import data
from models.data import SHA256
from models.errors import DataError
from tests.models.data.mirror import Mirror, serve

RUN = CliRunner()


@pytest.fixture
def mirror(mnist: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """A mirror of the test digits, which take the place of the published ones."""
    files = {f"{name}.gz": (mnist / f"{name}.gz").read_bytes() for name in SHA256}
    for name in SHA256:
        monkeypatch.setitem(SHA256, name, hashlib.sha256(gzip.decompress(files[f"{name}.gz"])).hexdigest())
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serve(Mirror(files)) as mirror:
        yield mirror


@pytest.mark.parametrize(("command", "example"), [("fetch", "--to data/mnist"), ("info", "data/mnist")])
def test_help_has_an_example(command: str, example: str) -> None:
    result = RUN.invoke(data, [command, "--help"])
    assert result.exit_code == 0
    text = Text.from_ansi(result.stdout).plain  # some CI systems make Typer print in colour
    assert f"reparam data {command} {example}" in " ".join(text.split())


def test_fetch_puts_the_files_there_and_says_so(tmp_path: Path, mirror: Mirror) -> None:
    result = RUN.invoke(data, ["fetch", "--to", str(tmp_path), "--mirror", mirror.url])
    assert result.exit_code == 0, result.output
    assert result.stdout == f"MNIST is in {tmp_path}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(mirror.files)
    for name in mirror.files:
        assert f"{name}: fetched: {mirror.url}" in result.stderr

    again = RUN.invoke(data, ["fetch", "--to", str(tmp_path), "--mirror", mirror.url])
    assert again.exit_code == 0
    assert again.stderr.count(": kept: ") == 4
    assert len(mirror.requests) == 4


def test_fetch_asks_the_mirrors_in_their_order(tmp_path: Path, mirror: Mirror) -> None:
    nobody = "http://127.0.0.1:1/"
    result = RUN.invoke(data, ["fetch", "--to", str(tmp_path), "--mirror", nobody, "--mirror", mirror.url])
    assert result.exit_code == 0
    assert f"failed: {nobody}: " in result.stderr


def test_fetch_without_a_mirror_that_works_is_an_error(tmp_path: Path, mirror: Mirror) -> None:
    mirror.always = "404"
    result = RUN.invoke(data, ["fetch", "--to", str(tmp_path), "--mirror", mirror.url])
    assert result.exit_code != 0
    assert isinstance(result.exception, DataError)
    assert f"{mirror.url}: HTTP 404" in str(result.exception)


def test_info_prints_a_line_for_each_file(mnist: Path) -> None:
    result = RUN.invoke(data, ["info", str(mnist)])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == [f"{name}.gz" for name in SHA256]
    assert all("not the published file" in line for line in lines)
    for part in (
        "1,000",
        "(1000, 28, 28) uint8",
        "de7c252b04f05e1f8309634180ccdf286dc6dbac8c579b74e76e02ae0331ca52",
    ):
        assert part in lines[2]


def test_info_prints_json(mnist: Path, mirror: Mirror) -> None:
    answer = json.loads(RUN.invoke(data, ["info", str(mnist), "--json"]).stdout)
    assert answer["folder"] == str(mnist)
    assert [(Path(file["path"]).name, file["count"]) for file in answer["files"]] == [
        (name, count) for name, count in zip(mirror.files, (2000, 2000, 1000, 1000), strict=True)
    ]
    assert answer["files"][0]["shape"] == [2000, 28, 28]
    assert answer["files"][0]["dtype"] == "uint8"
    assert {file["published"] for file in answer["files"]} == {True}  # the fixture says these are


def test_info_of_a_folder_without_data_is_an_error(tmp_path: Path) -> None:
    result = RUN.invoke(data, ["info", str(tmp_path)])
    assert isinstance(result.exception, DataError)
    assert f"reparam data fetch --to {tmp_path}" in str(result.exception)
