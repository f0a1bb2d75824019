"""How many bytes an entry of a cache takes, so that caches are bounded by bytes and not by count.

The caches are ``cachetools.LRUCache`` with ``getsizeof=bytes_of``, and values that are pairs of what is kept and the
bytes of the entry. cachetools passes only the value to ``getsizeof``, but the caller of the service chooses the keys.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter
from sys import getsizeof
from typing import TypeVar

Value = TypeVar("Value")

_OVERHEAD_BYTES = 416
"""Of one entry in an LRUCache: slots in three dictionaries, the pair, and the size (measured with tracemalloc)."""

bytes_of = itemgetter(1)
"""The bytes of a pair of value and bytes."""


def sized(value: Value, parts: Iterable[object]) -> tuple[Value, int]:
    """Return what is kept with the bytes of its entry.

    Args:
        value: what is kept.
        parts: every object that lives as long as the entry and no longer, the key among them; each is counted without
            the objects that it refers to.
    """
    return value, _OVERHEAD_BYTES + sum(map(getsizeof, parts))
