"""Returns freed memory to the operating system."""

from __future__ import annotations

import ctypes


def return_free_memory() -> None:
    """Give the free pages of the C library's heaps back; without glibc, do nothing.

    glibc keeps freed blocks for later use. After an engine was freed they would be tens of megabytes.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return
    trim(0)
