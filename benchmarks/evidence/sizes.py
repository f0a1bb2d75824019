"""One size: its world, its build, and the figures of both, which stay in the folder of the size."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.usage import run_measured
from offline.build.estimate import estimate
from offline.logs.engine import open_engine

DAYS = 12
IMPRESSIONS_A_VIDEO = 20
VIDEOS_A_USER = 2


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How the build is run.

    Attributes:
        arguments: of `onebar offline build` after LOGS and OUT.
        memory: of DuckDB, before it spills to disk.
        threads: of NumPy, FAISS and torch.
    """

    arguments: tuple[str, ...]
    memory: str
    threads: int


def measure_world(folder: Path, videos: int, seed: int) -> dict[str, Any]:
    """Simulate the world of a size into `folder`/logs, unless that has been done, and return its usage."""
    done = folder / "world.json"
    if not done.is_file():
        sizes = {
            "seed": seed,
            "videos": videos,
            "users": videos // VIDEOS_A_USER,
            "days": DAYS,
            "impressions-per-day": round(videos * IMPRESSIONS_A_VIDEO / DAYS),
        }
        options = [text for name, value in sizes.items() for text in (f"--{name}", str(value))]
        usage = run_measured([*_onebar("world", str(folder / "logs")), *options], folder / "world.log")
        done.write_text(json.dumps(asdict(usage)), encoding="utf-8")
    return dict(json.loads(done.read_text(encoding="utf-8")))


def measure_build(folder: Path, options: BuildOptions) -> dict[str, Any]:
    """Build the evidence of a size into `folder`/out, unless that was done with these options, and return the figures.

    The world is read from `folder`/logs.
    """
    done = folder / "build.json"
    asked = {"arguments": list(options.arguments), "memory": options.memory, "threads": options.threads}
    if done.is_file():
        found: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
        if found["options"] == asked:
            return found
    out, spill = folder / "out", folder / "spill"
    shutil.rmtree(out, ignore_errors=True)
    spill.mkdir(exist_ok=True)
    environment = {"OMP_NUM_THREADS": str(options.threads), "TMPDIR": str(spill)}
    command = [
        *_onebar("offline", "build", str(folder / "logs"), str(out)),
        *options.arguments,
        "--memory",
        options.memory,
    ]
    usage = run_measured(command, folder / "build.log", environment)
    steps = json.loads((out / "manifest.json").read_text(encoding="utf-8"))["steps"]
    rows = {name: steps["tables"]["counts"][name] for name in _TABLES}
    costs = estimate(steps, rows, with_files=False, memory_limit=open_engine(memory=options.memory).memory_limit)
    found = {
        "options": asked,
        "rows": rows,
        "whole": asdict(usage),
        "steps": {name: _figures(step) for name, step in steps.items()},
        "estimated": {name: asdict(cost) for name, cost in costs.items()},
        "log_bytes": sum(path.stat().st_size for path in (folder / "logs").glob("*.parquet")),
    }
    done.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return found


def remove_files(folder: Path) -> None:
    """Remove the tables and the evidence of a size; its figures stay."""
    for name in ("logs", "out", "spill"):
        shutil.rmtree(folder / name, ignore_errors=True)


_TABLES = ("videos", "users", "impressions", "exposures", "searches", "search_clicks", "reviews")


def _figures(step: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the manifest of the build says of one step."""
    return {
        **{name: step[name] for name in ("seconds", "cpu_seconds", "peak_memory_bytes", "counts")},
        "output_bytes": sum(output["bytes"] for output in step["outputs"].values()),
    }


def _onebar(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "cli.main", *arguments]
