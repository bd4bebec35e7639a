"""`make serve` listens where it is told to, and nowhere that nobody meant."""

import os
import subprocess

import pytest

from tests.conftest import ROOT
from tests.needs import need


@pytest.mark.parametrize(
    ("variables", "words", "options"),
    [
        ({}, [], []),
        ({"PORT": "9000"}, [], ["--port", "9000"]),
        ({}, ["HOST=0.0.0.0", "PORT=9000"], ["--host", "0.0.0.0", "--port", "9000"]),
        ({"HOST": "the-machine-s-name"}, [], []),
    ],
)
def test_where_make_serve_listens(variables: dict[str, str], words: list[str], options: list[str]) -> None:
    make = need("make", "the command that serves")
    clean = {
        name: value for name, value in os.environ.items() if name not in ("HOST", "PORT", "MAKEFLAGS", "MAKELEVEL")
    }
    told = subprocess.run(
        [make, "--dry-run", "serve", *words],
        cwd=ROOT,
        env=clean | variables,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert told[-1].split()[2:] == ["serve", *options]
