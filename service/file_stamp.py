"""Notices that a file was replaced or written, without reading it."""

from __future__ import annotations

from pathlib import Path

Stamp = tuple[int, int, int, int]


def stamp_of(path: Path) -> Stamp | None:
    """Return times of writing and of change, size and inode of a file; None if it is not there.

    The time of change is there for `chmod`, which makes a file readable and leaves the time of writing.
    """
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino
