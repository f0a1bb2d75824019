"""Random faults in the demo bundle, hashes made anew: each is refused with one sentence, or runs with right results.

`python -m benchmarks.bundle_fuzz` tries thousands more.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from generation.native.library import missing

ROOT = Path(__file__).resolve().parents[4]
FAULTS = 200


@pytest.mark.slow
def test_no_fault_crashes_hangs_or_runs_with_wrong_results() -> None:
    # In a process of its own: workers are forked from it, and forking a process with threads is not safe.
    backends = ["onnxruntime"] if missing() else ["native", "onnxruntime"]
    chosen = [word for backend in backends for word in ("--backend", backend)]
    command = [sys.executable, "-m", "benchmarks.bundle_fuzz", "--mutations", str(FAULTS), "--seed", "1", *chosen]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{FAULTS} faults in " in done.stdout
    assert " refused" in done.stdout
    assert " ran" in done.stdout
