"""Does `kill -9` change what `onebar offline build` writes?

    python -m benchmarks.build_kills logs --kills 10 -- --hashed --examples

Builds the evidence of a folder of logs once without a disturbance. Then, for each random point, it builds into an empty
folder, kills the process with SIGKILL at the point, runs the command again to its end, and compares every file. A point
is a step and a share of the CPU seconds that the step took. Linux only, because the CPU time of the process is read
from /proc.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from loadtest.machine import begin_result, finish_result
from offline.build.lock import LOCK_FILE
from offline.build.manifest import MANIFEST_FILE, StepRecord, read_manifest

_WITH_TIMES = {MANIFEST_FILE, LOCK_FILE, "report.json"}
_LATEST = 0.9  # of the CPU seconds of a step: the step may be a little faster the next time
_POLL_SECONDS = 0.002


@dataclass(frozen=True, slots=True)
class Point:
    """Where a build is killed: in a step, after some CPU seconds of it."""

    step: str
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a build that was killed and run again.

    Attributes:
        point: where it was killed.
        was_killed: whether it still ran at the point.
        skipped: the steps that the second run did not make again.
        differing: the files that are not as after an undisturbed build.
    """

    point: Point
    was_killed: bool
    skipped: tuple[str, ...]
    differing: tuple[str, ...]


def build(logs: Path, out: Path, options: Sequence[str]) -> None:
    """Run a build to its end."""
    with _start(logs, out, options) as process:
        said, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"the build ended with {process.returncode}: {said}")


def build_and_kill(logs: Path, out: Path, options: Sequence[str], point: Point) -> bool:
    """Start a build and kill it at a point; return whether it was still running."""
    with _start(logs, out, options) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(f"{point.step}: begins"):
                break
        begun = _cpu_seconds(process.pid)
        while process.poll() is None and _cpu_seconds(process.pid) - begun < point.cpu_seconds:
            time.sleep(_POLL_SECONDS)
        process.kill()
    return process.returncode == -signal.SIGKILL


def points_of(steps: dict[str, StepRecord], count: int, seed: int) -> list[Point]:
    """Return random points, in proportion to the CPU seconds of the steps."""
    chance = random.Random(seed)
    names = list(steps)
    weights = [max(steps[name].cpu_seconds, 0.01) for name in names]
    chosen = chance.choices(names, weights, k=count)
    return [Point(name, round(chance.random() * _LATEST * steps[name].cpu_seconds, 3)) for name in chosen]


def contents(out: Path) -> dict[str, str]:
    """Return the hash of each file of a build, without those that have times."""
    files = (path for path in sorted(out.rglob("*")) if path.is_file() and path.name not in _WITH_TIMES)
    return {str(path.relative_to(out)): sha256(path.read_bytes()).hexdigest() for path in files}


def outcome_at(logs: Path, out: Path, options: Sequence[str], point: Point, wanted: dict[str, str]) -> Outcome:
    """Build into a folder, kill the build at a point, build again, and compare."""
    was_killed = build_and_kill(logs, out, options, point)
    build(logs, out, options)
    found = contents(out)
    return Outcome(
        point,
        was_killed,
        tuple(name for name, step in read_manifest(out).items() if step.state == "skipped"),
        tuple(name for name in sorted({*wanted, *found}) if wanted.get(name) != found.get(name)),
    )


def main() -> None:
    """Kill and compare, and print the outcomes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", type=Path)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="a JSON file for the outcomes")
    given = sys.argv[1:]
    split = given.index("--") if "--" in given else len(given)
    arguments, options = parser.parse_args(given[:split]), given[split + 1 :]
    result = begin_result("build_kills", "duckdb", "numpy", "torch")
    with tempfile.TemporaryDirectory(prefix="build-kills-") as folder:
        whole = Path(folder, "whole")
        build(arguments.logs, whole, options)
        steps = read_manifest(whole)
        wanted = contents(whole)
        outcomes = []
        for number, point in enumerate(points_of(steps, arguments.kills, arguments.seed)):
            outcome = outcome_at(arguments.logs, Path(folder, str(number)), options, point, wanted)
            outcomes.append(outcome)
            state = "identical" if not outcome.differing else f"differs: {', '.join(outcome.differing)}"
            state = f"{'killed' if outcome.was_killed else 'had ended'}; {state}"
            skipped = ", ".join(outcome.skipped) or "nothing"
            print(f"{point.step} after {point.cpu_seconds:.2f} CPU s: {state}; skipped then: {skipped}", flush=True)
    different = sum(bool(outcome.differing) for outcome in outcomes)
    killed = sum(outcome.was_killed for outcome in outcomes)
    print(f"{len(outcomes)} builds, {killed} killed, {different} with another result; {len(wanted)} files compared")
    if arguments.output:
        run = {"options": options, "seed": arguments.seed, "outcomes": [asdict(outcome) for outcome in outcomes]}
        finish_result({**result, **run}, arguments.output)
    sys.exit(1 if different else 0)


def _start(logs: Path, out: Path, options: Sequence[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-u", "-m", "cli.main", "offline", "build", str(logs), str(out), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)


def _cpu_seconds(pid: int) -> float:
    """Return the user and system seconds of a process, 0 when it has gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
