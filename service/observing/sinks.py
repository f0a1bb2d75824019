"""Where events go: a file, or standard output. The Redis Stream is in ``redis_sink``."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Sequence
from typing import Protocol

from service.errors import ConfigurationError
from service.settings import EventSettings


class SinkRefused(Exception):
    """The server of a sink must not be used; the message is one sentence that says why and what to change."""


class PartialWrite(Exception):
    """A sink took only the first ``written`` events; the cause is chained."""

    def __init__(self, written: int, cause: Exception) -> None:
        """Say how many events were taken, and why no more."""
        super().__init__(str(cause))
        self.written = written


class EventSink(Protocol):
    """Where encoded events go; called from one thread only."""

    def write(self, events: Sequence[bytes]) -> None:
        """Write some events, each one JSON object on one line. May block.

        Raises:
            SinkRefused: the sink must not be used as it is.
            PartialWrite: it took some of them.
            Exception: it took none of them, as far as is known.
        """

    def close(self) -> None:
        """Flush and release what is held."""


class JsonLinesSink:
    """Appends to a file, or writes to standard output where the path is ``-``."""

    def __init__(self, path: str, max_bytes: int | None = None) -> None:
        """Open the file.

        Args:
            path: of the file, or ``-``.
            max_bytes: size that the file does not exceed; None sets no limit.

        Raises:
            ConfigurationError: the file cannot be opened.
        """
        self._owned = path != "-"
        self._max_bytes = max_bytes
        try:
            self._file = (
                os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
                if self._owned
                else sys.stdout.fileno()
            )
        except OSError as error:
            raise ConfigurationError(
                f"The event file {path} cannot be opened ({error.strerror}); set ONEBAR_EVENTS__PATH to a writable one."
            ) from error

    def write(self, events: Sequence[bytes]) -> None:
        """Write one line for each event. Raises OSError; a regular file then has none of them."""
        data = memoryview(b"".join(event + b"\n" for event in events))
        before = os.fstat(self._file)
        regular = stat.S_ISREG(before.st_mode)
        if regular and self._max_bytes is not None and before.st_size + len(data) > self._max_bytes:
            raise OSError(errno.EFBIG, "the event file is at ONEBAR_EVENTS__MAX_FILE_BYTES")
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError:
            if regular:
                os.ftruncate(self._file, before.st_size)
            raise

    def close(self) -> None:
        """Close the file; standard output stays open."""
        if self._owned:
            os.close(self._file)


def open_sink(settings: EventSettings, store_url: str) -> EventSink | None:
    """Open the sink that the settings name.

    Args:
        settings: of the events.
        store_url: of the feature store, whose server the Redis sink must not use.

    Returns:
        The sink, or None where events are off.

    Raises:
        ConfigurationError: the sink cannot be used as configured.
    """
    match settings.sink:
        case "jsonl":
            return JsonLinesSink(settings.path, settings.max_file_bytes)
        case "redis_stream":
            # The Redis client is loaded only where a store or a sink needs it.
            from service.observing.redis_sink import open_redis_sink

            return open_redis_sink(settings, store_url)
        case "none":
            return None
