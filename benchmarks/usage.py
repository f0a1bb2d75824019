"""Seconds, CPU seconds and peak memory of a command with all its processes."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_SAMPLE_SECONDS = 0.2
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a command has used.

    Attributes:
        seconds: by the clock.
        cpu_seconds: user and system time of all its processes that it waited for.
        peak_memory_bytes: the highest sum of the resident sizes of all its processes, read five times a second; at
            least the highest resident size of the first one, which Linux keeps.
    """

    seconds: float
    cpu_seconds: float
    peak_memory_bytes: int


class CommandError(Exception):
    """A command has failed; the message has its last lines."""


def run_measured(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None, *, with_errors: bool = True
) -> Usage:
    """Run a command to its end.

    Args:
        command: program and arguments.
        log: the file for its output.
        environment: variables that are set for it.
        with_errors: whether the file has what it writes to standard error too.

    Raises:
        CommandError: it ended with another status than 0.
    """
    begun = time.perf_counter()
    with log.open("wb") as output:
        errors = subprocess.STDOUT if with_errors else subprocess.DEVNULL
        process = subprocess.Popen(command, stdout=output, stderr=errors, env={**os.environ, **(environment or {})})
        peak = 0
        while True:
            # The peak that wait4 returns may be that of this process before the fork, so it is not used.
            peak = max(peak, sum(map(_resident_bytes, _tree(process.pid))), _highest_resident_bytes(process.pid))
            found, status, usage = os.wait4(process.pid, os.WNOHANG)
            if found:
                break
            time.sleep(_SAMPLE_SECONDS)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        last = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise CommandError(f"{' '.join(command)} ended with {process.returncode}: {last}")
    return Usage(round(time.perf_counter() - begun, 1), round(usage.ru_utime + usage.ru_stime, 1), peak)


def _tree(pid: int) -> Iterator[int]:
    """Return a process and all that descend from it."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found = children.read_text(encoding="ascii").split()
        except OSError:
            continue
        for child in found:
            yield from _tree(int(child))


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def _highest_resident_bytes(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")), 0)
