"""What a writer takes: whole fields of a hash, encoded, by key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol


class HashWrite(NamedTuple):
    """Fields to set on one hash; the fields that are not named stay as they are."""

    key: str
    fields: Mapping[str, bytes]


class Writer(Protocol):
    """Writes in chunks, synchronously: for loaders and offline jobs, never for the request path.

    The code that opened it closes it.
    """

    def write(self, writes: Sequence[HashWrite]) -> None:
        """Set the fields and renew the life of each whole key, all in one exchange.

        Raises:
            StoreUnavailable: nothing, or a part of this chunk, was written. Writing it again is safe.
        """

    def close(self) -> None:
        """Close what was opened."""
