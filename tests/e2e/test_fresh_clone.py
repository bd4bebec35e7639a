"""`make serve` on a machine with nothing but Python, make and git."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.e2e.server import free_port, get, wait_until_ready

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_make_serve_answers_in_a_fresh_clone(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    port = free_port()
    outside = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "VENV", "MAKEFLAGS", "MAKELEVEL")}
    process = subprocess.Popen(
        ["make", "serve"],
        cwd=clone,
        env=outside | {"PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url, process, seconds=500)
        assert get(f"{url}/v1/sample?count=4").content.startswith(b"\x89PNG")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=30)
