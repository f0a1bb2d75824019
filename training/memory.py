"""Keeps freed memory in the process."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD = -1  # malloc.h of glibc
_M_MMAP_MAX = -4
_LARGEST = 2**31 - 1


def keep_freed_memory() -> None:
    """Let the C library keep freed blocks for later use; without glibc, do nothing.

    It maps large blocks one by one and gives them back otherwise, and torch takes and frees tens of megabytes for every
    token that a search generates. The system clears each page again: half of the CPU time of a search went there.
    """
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    set_option(_M_MMAP_MAX, 0)
    set_option(_M_TRIM_THRESHOLD, _LARGEST)
