"""What figures depend on (commit, machine, versions), and the JSON file that a measurement leaves.

The benchmarks and the load test both use it. Standard library only, because the load test's image has little else.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parent.parent
# Changes to documents, tests and earlier results do not make figures irreproducible. Everything else counts.
_NOT_MEASURED = ("docs", "tests", "benchmarks/results", "demo/reports", "*.md")
_FLAGS = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "asimddp", "i8mm")
_UNITS = {"K": 2**10, "M": 2**20}


def commit(root: Path = _ROOT) -> str:
    """Return the short commit of a checkout; "unknown" without git.

    It ends in "-dirty" where anything differs from it that figures may depend on, new files included.
    """
    name = _git(root, "rev-parse", "--short", "HEAD")
    if not name:
        return "unknown"
    measured = (".", *(f":(exclude){pattern}" for pattern in _NOT_MEASURED))
    return f"{name}-dirty" if _git(root, "status", "--porcelain", "--", *measured) else name


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()


def cache_sizes(folder: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> dict[str, int]:
    """Return the bytes of each data cache of the first core, by level: {"L1": ..., "L2": ...}."""
    found = {}
    for entry in sorted(folder.glob("index*")):
        kind, level, size = ((entry / name).read_text().strip() for name in ("type", "level", "size"))
        if kind != "Instruction":
            found[f"L{level}"] = int(size[:-1]) * _UNITS[size[-1]]
    return found


def describe_machine(cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, Any]:
    """Return the processor, its flags for matrix products, its caches, the system, and the present load average."""
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines() if cpuinfo.is_file() else []
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    present = fields.get("flags", fields.get("Features", "")).split()
    return {
        "cpu": fields.get("model name") or platform.processor() or platform.machine(),
        "cpu_family_and_model": f"{fields.get('cpu family', '?')}/{fields.get('model', '?')}",
        "flags": [flag for flag in _FLAGS if flag in present],
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "cache_bytes": cache_sizes(),
        "load_average_before": [round(value, 2) for value in os.getloadavg()],
        "system": f"{platform.system()} {platform.release()}",
    }


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of Python and of packages; a package that is not installed is "absent"."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def begin_result(benchmark: str, *packages: str) -> dict[str, Any]:
    """Return the head of a result, to be made before anything is measured: the load average is that of now.

    Args:
        benchmark: the name of the measurement.
        packages: distributions whose versions the figures depend on.
    """
    return {
        "benchmark": benchmark,
        "commit": commit(),
        "started": _now(),
        "machine": describe_machine(),
        "versions": versions(*packages),
    }


def finish_result(result: Mapping[str, Any], output: Path | None) -> str:
    """Return a result as JSON, with the time at which it was finished, and write it where `output` is given."""
    text = json.dumps({**result, "finished": _now()}, ensure_ascii=False, indent=1)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text + "\n", encoding="utf-8")
    return text


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
