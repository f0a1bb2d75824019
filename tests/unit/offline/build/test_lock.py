"""One build at a time for a folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from offline.build.errors import BusyError
from offline.build.lock import locked

HOLD = """
import sys, time
from pathlib import Path
from offline.build.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_build_is_refused_and_the_first_one_is_named(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with (
            pytest.raises(BusyError, match=rf"is being built by process {first.pid} on .*, since 20"),
            locked(tmp_path / "out"),
        ):
            pass
        first.kill()
        first.wait()
        with locked(tmp_path / "out"):
            assert (tmp_path / "out" / ".lock").read_text(encoding="utf-8").startswith(f"process {os.getpid()} ")


def test_the_lock_is_free_after_a_build(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path):
            pass
