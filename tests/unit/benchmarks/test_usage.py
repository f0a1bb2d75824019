"""What a command has used, with the processes that it started."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.usage import CommandError, run_measured

CHILD = "import time; held = bytearray(60_000_000); time.sleep(1.2)"
PARENT = f"import subprocess, sys; held = bytearray(60_000_000); subprocess.run([sys.executable, '-c', {CHILD!r}])"


def test_the_peak_is_that_of_all_processes_together(tmp_path: Path) -> None:
    usage = run_measured([sys.executable, "-c", PARENT], tmp_path / "log")
    assert usage.peak_memory_bytes > 120_000_000
    assert usage.seconds >= 1.2


def test_the_time_of_child_processes_counts(tmp_path: Path) -> None:
    busy = "import time\nwhile time.process_time() < 0.5: pass"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])"
    assert run_measured([sys.executable, "-c", parent], tmp_path / "log").cpu_seconds >= 0.5


def test_a_command_that_fails_is_an_error_with_its_last_lines(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"ended with 3: no logs here"):
        run_measured([sys.executable, "-c", "print('no logs here'); raise SystemExit(3)"], tmp_path / "log")


def test_the_memory_of_the_measuring_process_does_not_count(tmp_path: Path) -> None:
    held = bytearray(200_000_000)
    used = run_measured([sys.executable, "-c", "import time; time.sleep(0.3)"], tmp_path / "log").peak_memory_bytes
    assert 0 < used < 100_000_000 < len(held)


def test_standard_error_is_in_the_log_or_not(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; print('said'); print('a bar', file=sys.stderr)"]
    for with_errors, expected in ((True, {"said", "a bar"}), (False, {"said"})):
        run_measured(command, tmp_path / "log", with_errors=with_errors)
        assert set((tmp_path / "log").read_text().splitlines()) == expected
