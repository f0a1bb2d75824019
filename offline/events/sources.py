"""Lines of the event log: from JSON Lines files, from folders of them such as a spool, from a Redis Stream."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from feature_store.errors import StoreUnavailable
from feature_store.redis_urls import explain, parse_redis_url
from offline.errors import SettingsError

DEFAULT_STREAM = "onebar:events"
MAX_LINE_BYTES = 256 * 1024
"""A longer line is no event of the service, which writes at most 64 KiB; it is handed on in parts that are no JSON."""

_SUFFIXES = (".jsonl", ".jsonl.gz")
_CHUNK = 500
_FIELD = b"event"


def lines_of(sink: str, stream: str = DEFAULT_STREAM) -> Iterator[bytes]:
    """Yield the lines of an event log, without their newlines, in the order of the log. The memory is bounded.

    Args:
        sink: a `.jsonl` or `.jsonl.gz` file, a folder of them, or the URL of a Redis server.
        stream: the key of the stream on that server.

    Raises:
        SettingsError: there is no such file, a folder has no event files, or a file cannot be read.
        StoreUrlError: the URL cannot be used.
        StoreUnavailable: the Redis does not answer.
    """
    if "://" in sink:
        yield from _lines_of_stream(sink, stream)
        return
    for path in _files(Path(sink)):
        try:
            with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
                yield from _lines_of_file(file)
        except FileNotFoundError:  # a segment of the spool that was delivered in the meantime
            continue
        except (OSError, EOFError, zlib.error) as error:
            raise SettingsError(f"{path} cannot be read as events ({error}); check the file") from error


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.name.endswith(_SUFFIXES) and file.is_file())
        if not found:
            raise SettingsError(f"{path} has no .jsonl or .jsonl.gz file; name the folder or the file of the events")
        return found
    if not path.is_file():
        raise SettingsError(f"{path} is not there; name a file, a folder or a Redis URL of events")
    return [path]


def _lines_of_file(file: io.BufferedIOBase) -> Iterator[bytes]:
    while line := file.readline(MAX_LINE_BYTES):
        yield line.removesuffix(b"\n")


def _lines_of_stream(url: str, stream: str) -> Iterator[bytes]:
    # The Redis client is loaded only where a stream is read.
    import redis

    checked = parse_redis_url(url)
    if checked.is_cluster:
        raise SettingsError(f"{checked.shown} is a cluster; events are on one server")
    with redis.Redis.from_url(checked.url, protocol=2, socket_connect_timeout=5.0, socket_timeout=30.0) as client:
        try:
            start = "-"
            while entries := _entries(client, stream, start):
                for _, fields in entries:
                    yield fields.get(_FIELD, b"")
                start = f"({entries[-1][0].decode()}"
        except redis.RedisError as error:
            raise StoreUnavailable(explain(error, checked.shown)) from error


def _entries(client: Any, stream: str, start: str) -> list[tuple[bytes, dict[bytes, bytes]]]:
    found: list[tuple[bytes, dict[bytes, bytes]]] = client.xrange(stream, start, "+", count=_CHUNK)
    return found
