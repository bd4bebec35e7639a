"""The folder in which workers share their figures."""

import os
import time
from pathlib import Path

import pytest

from app import figures, metrics
from app.figures import shared_metrics


def test_what_a_killed_supervisor_left_is_removed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "SHARED_MEMORY", str(tmp_path))
    monkeypatch.setenv(metrics.FOLDER, "")
    left, new, other = (tmp_path / name for name in ("reparam-metrics-left", "reparam-metrics-new", "other"))
    for folder in (left, new, other):
        folder.mkdir()
        (folder / "counter.db").write_bytes(b"1")
    long_ago = time.time() - 3600
    with shared_metrics():
        held = Path(os.environ[metrics.FOLDER])
        assert held.parent == tmp_path
        for folder in (left, held, other):
            os.utime(folder, (long_ago, long_ago))
        with shared_metrics():
            assert not left.exists()
            assert (new / "counter.db").exists() and (other / "counter.db").exists() and held.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"reparam-metrics-new", "other"}
