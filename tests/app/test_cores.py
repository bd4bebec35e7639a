"""How many cores there are to use."""

from pathlib import Path

import pytest

from app import cores
from app.cores import available_cores
from app.settings import Settings


@pytest.fixture(autouse=True)
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: set(range(8)))


def _files(root: Path, **texts: str) -> Path:
    for name, text in texts.items():
        path = root / name.replace("__", "/").replace("_max", ".max").replace("_cfs", ".cfs")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_without_a_quota_it_is_the_affinity(tmp_path: Path) -> None:
    assert available_cores(tmp_path) == 8
    _files(tmp_path, proc__self__cgroup="0::/\n", sys__fs__cgroup__cpu_max="max 100000\n")
    assert available_cores(tmp_path) == 8


@pytest.mark.parametrize(("quota", "expected"), [(150_000, 2), (200_000, 2), (20_000, 1), (1_600_000, 8)])
def test_a_quota_is_rounded_up(tmp_path: Path, quota: int, expected: int) -> None:
    _files(tmp_path, proc__self__cgroup="0::/\n", sys__fs__cgroup__cpu_max=f"{quota} 100000\n")
    assert available_cores(tmp_path) == expected


def test_the_smallest_quota_around_the_process_holds(tmp_path: Path) -> None:
    _files(
        tmp_path,
        proc__self__cgroup="0::/outer/inner\n",
        sys__fs__cgroup__outer__cpu_max="300000 100000\n",
        sys__fs__cgroup__outer__inner__cpu_max="max 100000\n",
    )
    assert available_cores(tmp_path) == 3


def test_version_1_of_control_groups(tmp_path: Path) -> None:
    _files(
        tmp_path,
        proc__self__cgroup="4:cpu,cpuacct:/\n3:memory:/\n",
        sys__fs__cgroup__cpu__cpu_cfs_quota_us="250000\n",
        sys__fs__cgroup__cpu__cpu_cfs_period_us="100000\n",
    )
    assert available_cores(tmp_path) == 3


def test_workers_may_be_as_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.settings.available_cores", lambda: 5)
    monkeypatch.setenv("REPARAM_WORKERS", "auto")
    assert Settings().workers == 5
