"""Large models stream their weights from memory at every step: pages of 2 MB spare the walk through small ones.

ORT allocates with the C library, which asks for no huge pages. Linux 6.1 and later can be asked afterwards, for memory
that is in use already. Where that is not possible nothing happens, and nothing is lost but some speed.
"""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

HUGE_PAGE = 2 << 20
MADV_COLLAPSE = 25
FULL = 0.9  # a mapping is taken where so much of it is in use already; an empty stack would only grow
WORTHWHILE = 32 << 20  # bytes of graphs; smaller ones stay in the caches, and measured no faster

_MAPPING = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ 0\s*(\S*)$")


def use_huge_pages(smaps: Path = Path("/proc/self/smaps")) -> int:
    """Move this process's large private memory to huge pages; return how many bytes were moved."""
    try:
        lines = smaps.read_text(encoding="ascii", errors="replace").splitlines()
        madvise = ctypes.CDLL(None).madvise
    except (OSError, AttributeError):
        return 0
    moved = 0
    for start, end in large_mappings(lines):
        if madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), MADV_COLLAPSE) == 0:
            moved += end - start
    return moved


def large_mappings(smaps: list[str]) -> list[tuple[int, int]]:
    """Return the whole huge pages, as (start, end), in private, writable, anonymous mappings that are in use."""
    found = []
    start = end = 0
    for line in smaps:
        if mapping := _MAPPING.match(line):
            first, last, rights, name = mapping.groups()
            start, end = int(first, 16), int(last, 16)
            if rights != "rw-p" or name not in ("", "[heap]"):
                start = end = 0
        elif re.match(r"^[0-9a-f]+-", line):
            start = end = 0
        elif line.startswith("Rss:") and end > start:
            resident = int(line.split()[1]) * 1024
            inner = (-(-start // HUGE_PAGE) * HUGE_PAGE, end // HUGE_PAGE * HUGE_PAGE)
            if resident >= FULL * (end - start) and inner[1] > inner[0]:
                found.append(inner)
    return found
