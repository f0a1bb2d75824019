"""Seconds, CPU seconds and peak memory of one step.

Linux keeps the highest resident size of a process and can reset it, so each step has its own peak. It includes what
earlier steps have left in memory for later ones, such as the coded logs. Elsewhere the peak is that of the process so
far.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


@dataclass(slots=True)
class Usage:
    """What a step has used.

    Attributes:
        seconds: by the clock.
        cpu_seconds: of all threads.
        peak_memory_bytes: the highest resident size of the process.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0


@contextmanager
def measured() -> Iterator[Usage]:
    """Measure what runs inside; the figures are set at the end."""
    usage = Usage()
    with suppress(OSError):
        _RESET.write_text(_RESET_PEAK, encoding="ascii")
    begun, cpu_begun = time.perf_counter(), time.process_time()
    yield usage
    usage.seconds = round(time.perf_counter() - begun, 1)
    usage.cpu_seconds = round(time.process_time() - cpu_begun, 2)
    usage.peak_memory_bytes = _peak_bytes()


def _peak_bytes() -> int:
    with suppress(OSError):
        for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
