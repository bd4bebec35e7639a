"""How many processor cores this process may use."""

import math
import os
from pathlib import Path

LIMIT = 256


def available_cores(root: Path = Path("/")) -> int:
    """Those that its affinity allows, or fewer where the quota of its control group is less: rounded up, 256 at most.

    Args:
        root: where /proc and /sys are found.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, math.ceil(min(_quotas(root), default=allowed)), LIMIT))


def _quotas(root: Path) -> list[float]:
    """In cores, of the process's control group and of those around it."""
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    quotas = []
    for line in groups:
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2
            mount, quota = root / "sys/fs/cgroup", _quota
        elif "cpu" in controllers.split(","):
            mount, quota = root / "sys/fs/cgroup/cpu", _quota_v1
        else:
            continue
        # In a container the path may be the host's, of which only the top is seen here: that is the container's own.
        group = mount / path.lstrip("/")
        found = [quota(folder) for folder in (group, *group.parents) if folder.is_relative_to(mount)]
        quotas += [cores for cores in found if cores]
    return quotas


def _quota(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else int(quota) / int(period)


def _quota_v1(folder: Path) -> float | None:
    try:
        quota, period = (int((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
    except (OSError, ValueError):
        return None
    return quota / period if quota > 0 else None
