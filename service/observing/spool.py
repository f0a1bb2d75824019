"""The spool: events that a sink did not take, in a folder of bounded size, first in, first out.

The folder has a file ``lock`` and segments ``0000000000000001.jsonl``, ``0000000000000002.jsonl``, …: JSON Lines in
UTF-8, one event a line, oldest first. A line of spaces is skipped, so an event can be erased in place
(``feature_store.event_files``) while a process reads and writes the folder.

Durability: each append ends with fsync. A segment is deleted when all its lines are delivered. After a crash the oldest
segment is delivered again from its start, so a reader of the sink sees at most the events of one segment twice.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from service.errors import ConfigurationError

SEGMENT_BYTES = 1024 * 1024
"""Size from which a new segment is begun."""

_SUFFIX = ".jsonl"
_SCAN_BYTES = 64 * 1024


class Spool:
    """A bounded queue of lines on disk. Used by one thread of one process; the lock file keeps others out.

    Attributes:
        max_bytes: the most that all segments hold together. A line that does not fit is refused.
        size: bytes in all segments.
        torn: incomplete last lines that were cut off when the folder was opened.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """Open a folder, making it where it is missing, with what a process before left in it.

        Raises:
            ConfigurationError: another process uses the folder, or it cannot be written.
        """
        self.max_bytes = max_bytes
        self.torn = 0
        self._folder = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _lock(folder / "lock")
            self._sizes = {path: self._repaired_size(path) for path in segments(folder)}
        except BlockingIOError:
            raise ConfigurationError(
                f"The spool folder {folder} is in use by another process; give each process a folder of its own by "
                "ONEBAR_EVENTS__SPOOL_PATH."
            ) from None
        except OSError as error:
            raise ConfigurationError(
                f"The spool folder {folder} cannot be used ({error.strerror}); set ONEBAR_EVENTS__SPOOL_PATH to a "
                "folder that this process can write."
            ) from error
        self.size = sum(self._sizes.values())
        self._next = max((int(path.stem) for path in self._sizes), default=0) + 1
        self._writing: Path | None = None
        self._file: IO[bytes] | None = None
        self._offset = 0  # of the first line that is not delivered, in the oldest segment

    @property
    def is_empty(self) -> bool:
        """Whether every line was delivered."""
        return not self._sizes

    def append(self, lines: Sequence[bytes]) -> int:
        """Write lines, without their newlines, as far as they fit, and fsync.

        Returns:
            How many of them, from the first on, were written.

        Raises:
            OSError: none was written.
        """
        room = self.max_bytes - self.size
        fitting = 0
        for line in lines:
            room -= len(line) + 1
            if room < 0:
                break
            fitting += 1
        if not fitting:
            return 0
        data = b"".join(line + b"\n" for line in lines[:fitting])
        path, file = self._segment()
        before = self._sizes[path]
        try:
            _write(file, data)
        except OSError:
            self._end_segment()  # the next append begins another one, whatever the disk kept of this
            with contextlib.suppress(OSError):
                os.truncate(path, before)
            raise
        self._sizes[path] = before + len(data)
        self.size += len(data)
        return fitting

    def peek(self, max_lines: int, max_bytes: int) -> tuple[list[bytes], int]:
        """Return the oldest lines that are not delivered, and how many bytes they take in the oldest segment.

        Args:
            max_lines: the most lines returned.
            max_bytes: the most bytes returned, except that one line always is.

        Raises:
            OSError: the segment cannot be read.
        """
        if not self._sizes:
            return [], 0
        path = next(iter(self._sizes))
        with path.open("rb") as file:
            file.seek(self._offset)
            data = file.read(min(max_bytes, self._sizes[path] - self._offset))
            if b"\n" not in data:
                data += file.readline()
        found: list[bytes] = []
        taken = 0
        for line in data.split(b"\n")[:-1]:
            if len(found) == max_lines:
                break
            taken += len(line) + 1
            if not line.isspace():
                found.append(line)
        return found, taken

    def delivered(self, taken: int) -> None:
        """Forget the oldest bytes, as ``peek`` counted them; 0 forgets the rest of the oldest segment."""
        if not self._sizes:
            return
        path = next(iter(self._sizes))
        self._offset += taken
        if self._offset >= self._sizes[path] or not taken:
            if path == self._writing:
                self._end_segment()
            path.unlink(missing_ok=True)
            self.size -= self._sizes.pop(path)
            self._offset = 0

    def close(self) -> None:
        """Write the oldest segment anew without its delivered lines, and let others use the folder."""
        self._end_segment()
        if self._offset:
            path = next(iter(self._sizes))
            rest = path.with_suffix(".rest")
            rest.unlink(missing_ok=True)
            try:
                with path.open("rb") as source, _create(rest) as target:
                    source.seek(self._offset)
                    _write(target, source.read())
                rest.replace(path)
            except OSError:
                # The segment stays as it is, and its delivered lines are delivered once more.
                rest.unlink(missing_ok=True)
        os.close(self._lock)

    def _segment(self) -> tuple[Path, IO[bytes]]:
        """The segment to append to."""
        if self._writing is not None and self._sizes[self._writing] >= SEGMENT_BYTES:
            self._end_segment()
        if self._writing is None or self._file is None:
            path = self._folder / f"{self._next:016d}{_SUFFIX}"
            self._file, self._writing = _create(path), path
            self._next += 1
            self._sizes[path] = 0
            _sync_folder(self._folder)
        return self._writing, self._file

    def _end_segment(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self._writing = None

    def _repaired_size(self, path: Path) -> int:
        """The size of a segment without an incomplete last line, which is cut off and counted."""
        with path.open("r+b") as file:
            size = end = file.seek(0, os.SEEK_END)
            while end > 0:
                start = max(0, end - _SCAN_BYTES)
                file.seek(start)
                newline = file.read(end - start).rfind(b"\n")
                if newline >= 0:
                    end = start + newline + 1
                    break
                end = start
            if end < size:
                file.truncate(end)
                self.torn += 1
        return end


def segments(folder: Path) -> list[Path]:
    """Return the segments of a spool folder, oldest first."""
    return sorted(path for path in folder.glob(f"*{_SUFFIX}") if path.stem.isdigit())


def _create(path: Path) -> IO[bytes]:
    """A new file that only this user can read; events are personal data."""
    return open(path, "ab", buffering=0, opener=lambda name, flags: os.open(name, flags, 0o600))


def _write(file: IO[bytes], data: bytes) -> None:
    """Write all of it to the disk. Raises OSError where there is room for a part only."""
    if file.write(data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(file.fileno())


def _lock(path: Path) -> int:
    """Lock a file for this process. Raises BlockingIOError where another one has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
