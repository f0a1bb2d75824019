"""The rate limit of a publication, in records and in bytes a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from feature_store.writes import HashWrite

CHUNK_ROWS: Final = 500
"""Records of one exchange with the store, at most. A server runs their scripts in about ten milliseconds."""
_CHUNKS_PER_SECOND: Final = 10


def size_of(write: HashWrite) -> int:
    """Return the bytes of a write's key, names and values."""
    return len(write.key) + sum(len(name) + len(value) for name, value in write.fields.items())


class Pace:
    """Waits between chunks so that both limits hold. Time that was not used is not made up for."""

    def __init__(
        self,
        rows_per_second: int | None = None,
        bytes_per_second: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Begin to count.

        Args:
            rows_per_second: Records a second, changed or not; None for no limit.
            bytes_per_second: Bytes of changed records a second; None for no limit.
            clock: Seconds.
            sleep: Waits so many seconds.
        """
        self._rows_per_second = rows_per_second
        self._bytes_per_second = bytes_per_second
        self._clock = clock
        self._sleep = sleep
        self._due = clock()

    @property
    def chunk_rows(self) -> int:
        """The most records of one chunk: of a tenth of a second, so that a limited rate is not a row of bursts."""
        if not self._rows_per_second:
            return CHUNK_ROWS
        return min(CHUNK_ROWS, max(1, self._rows_per_second // _CHUNKS_PER_SECOND))

    def chunks(self, writes: Sequence[HashWrite]) -> Iterator[list[HashWrite]]:
        """Yield the writes in chunks of at most a tenth of a second each; a chunk has at least one write."""
        limit = self._bytes_per_second // _CHUNKS_PER_SECOND if self._bytes_per_second else None
        chunk: list[HashWrite] = []
        size = 0
        for write in writes:
            more = size_of(write) if limit else 0
            if chunk and (len(chunk) == self.chunk_rows or (limit and size + more > limit)):
                yield chunk
                chunk, size = [], 0
            chunk.append(write)
            size += more
        if chunk:
            yield chunk

    def wait(self, rows: int, size: int) -> None:
        """Wait until the next chunk may be sent, after one of so many records and bytes."""
        seconds = max(
            rows / self._rows_per_second if self._rows_per_second else 0.0,
            size / self._bytes_per_second if self._bytes_per_second else 0.0,
        )
        now = self._clock()
        self._due = max(self._due + seconds, now)
        if self._due > now:
            self._sleep(self._due - now)
