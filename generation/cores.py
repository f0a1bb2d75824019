"""How many cores this process really has.

ONNX Runtime sizes its thread pools by the host's cores: in a container of two cores on a machine of 64 that is 64
spinning threads. The count here is the least of the cgroup's CPU quota (v2 and v1), the affinity mask and the machine.
"""

from __future__ import annotations

import math
import os
from pathlib import Path


def quota_cores(root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> float | None:
    """The CPU quota of the control group in cores, or None where there is no limit.

    A limit may sit on any level: the groups from this process's own one up to the root are asked, the tightest wins.
    """
    quotas = [q for q in (*_v2_quotas(root, membership), _v1_quota(root)) if q is not None]
    return min(quotas, default=None)


def available_cores() -> int:
    """Whole cores that this process can keep busy, at least one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = quota_cores()
    return max(1, cores if quota is None else min(cores, math.floor(quota)))


def _v2_quotas(root: Path, membership: Path) -> list[float | None]:
    path = next((line[3:] for line in _read(membership).splitlines() if line.startswith("0::")), "/")
    group = root / path.strip().lstrip("/")
    levels = [group, *group.parents]
    return [_v2_quota(_read(level / "cpu.max")) for level in levels if level == root or root in level.parents]


def _v2_quota(text: str) -> float | None:
    quota, _, period = text.strip().partition(" ")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) else None


def _v1_quota(root: Path) -> float | None:
    quota = _read(root / "cpu" / "cpu.cfs_quota_us").strip()
    period = _read(root / "cpu" / "cpu.cfs_period_us").strip()
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
