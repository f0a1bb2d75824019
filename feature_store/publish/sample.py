"""A sample of what was published, read back at the end."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

from feature_store.errors import PublishError
from feature_store.publish.target import Target

_CHUNK: Final = 500
_NAMED: Final = 3

Expected = dict[str, bytes | None]


def _digest(value: bytes) -> bytes:
    return blake2b(value, digest_size=16).digest()


class Sample:
    """Digests of what some records must have: of those `size` keys whose salted hashes are the smallest.

    So the sample does not depend on the order of the records. A record that comes twice is expected as it came last.
    """

    def __init__(self, size: int, salt: str) -> None:
        """Make an empty sample.

        Args:
            size: Records that are read back.
            salt: Another one gives another sample.
        """
        self._size = size
        self._salt = salt.encode()[:16]
        self._records: dict[bytes, tuple[str, Expected]] = {}
        self._last: bytes | None = None  # the largest rank that can still be in the sample

    def add(self, key: str, fields: Mapping[str, bytes | None]) -> None:
        """Offer a record: what its fields must be, None where it must not have one."""
        rank = blake2b(key.encode(), digest_size=8, salt=self._salt).digest()
        if self._last is not None and rank > self._last:
            return
        expected = {name: None if value is None else _digest(value) for name, value in fields.items()}
        self._records[rank] = (key, expected)
        if len(self._records) > 2 * self._size + _CHUNK:
            self._records = {rank: self._records[rank] for rank in heapq.nsmallest(self._size, self._records)}
            self._last = max(self._records, default=b"")

    def read_back(self, target: Target) -> int:
        """Compare the sample with the store, and return how many records were read.

        Raises:
            PublishError: some differ; the message names the first ones.
        """
        ranks = heapq.nsmallest(self._size, self._records)
        wrong: list[str] = []
        for start in range(0, len(ranks), _CHUNK):
            chunk = [self._records[rank] for rank in ranks[start : start + _CHUNK]]
            for (key, expected), stored in zip(chunk, target.read([key for key, _ in chunk]), strict=True):
                found = {name: _digest(stored[name]) if name in stored else None for name in expected}
                fields = [name for name in expected if found[name] != expected[name]]
                if fields:
                    wrong.append(f"{key} ({', '.join(fields)})")
        if wrong:
            named = "; ".join(wrong[:_NAMED]) + ("; …" if len(wrong) > _NAMED else "")
            raise PublishError(
                f"{len(wrong):,} of {len(ranks):,} records that were read back from {target.shown} are not as expected:"
                f" {named}. The server lost them, or another job writes these fields; run the command again"
            )
        return len(ranks)
