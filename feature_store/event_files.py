"""Erases a person's events: from JSON Lines files, from folders of them such as the spool, from a Redis Stream."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Final

import redis

from feature_store.errors import LoadError, StoreUnavailable, StoreUrlError
from feature_store.redis_urls import explain, parse_redis_url

_SUFFIXES: Final = (".jsonl", ".jsonl.gz")
_STREAM_CHUNK: Final = 500
_FIELD: Final = b"event"


def is_event_of(line: bytes, identifiers: Collection[str]) -> bool:
    """Return whether a line is the event of one of these users; a line that is no JSON object is none."""
    # The quick test keeps lines of other people from being parsed; an id with escapes in JSON is found by the second.
    if b"\\" not in line and not any(name.encode("utf-8", "surrogatepass") in line for name in identifiers):
        return False
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(event, dict) and event.get("user_id") in identifiers


def erase_events(path: Path, identifiers: Collection[str]) -> int:
    """Erase the events of users from a file, or from all .jsonl and .jsonl.gz files of a folder.

    A line of a plain file is overwritten with spaces: no other byte moves, so other processes may write to the file and
    read from it at that time. A gzipped file is rewritten and replaced; nothing may write to it at that time.

    Args:
        path: A file or a folder; readers of the files must skip blank lines.
        identifiers: The pseudonyms or ids of the users.

    Returns:
        How many events were erased.

    Raises:
        LoadError: A file cannot be read or written; other files may be done already.
    """
    names = frozenset(identifiers)
    erased = 0
    for file in _files(path):
        try:
            erased += _erase_gzipped(file, names) if file.suffix == ".gz" else _erase_in_place(file, names)
        except FileNotFoundError:  # a segment of the spool that was delivered in the meantime
            continue
        except (OSError, EOFError, zlib.error) as error:
            raise LoadError(f"{file} cannot be searched for events ({error})") from error
    return erased


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.name.endswith(_SUFFIXES) and file.is_file())
    if not path.is_file():
        raise LoadError(f"{path} is not there")
    return [path]


def _erase_in_place(path: Path, names: frozenset[str]) -> int:
    erased = 0
    with path.open("r+b") as file:
        position = 0
        for line in iter(file.readline, b""):
            text = line.removesuffix(b"\n")
            if text != line and is_event_of(text, names):  # a line without its end is still being written
                file.seek(position)
                file.write(b" " * len(text))
                erased += 1
            position += len(line)
            file.seek(position)
        os.fsync(file.fileno())
    return erased


def _erase_gzipped(path: Path, names: frozenset[str]) -> int:
    aside = path.with_name(f"{path.name}.erasing")
    erased = 0
    try:
        with gzip.open(path, "rb") as source, gzip.open(aside, "wb") as target:
            for line in source:
                if is_event_of(line, names):
                    erased += 1
                else:
                    target.write(line)
        if erased:
            aside.chmod(path.stat().st_mode & 0o777)
            os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    return erased


def erase_stream(url: str, stream: str, identifiers: Collection[str]) -> int:
    """Erase the events of users from a Redis Stream, in chunks of bounded size.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        stream: The stream's key; each entry has the field `event`.
        identifiers: The pseudonyms or ids of the users.

    Returns:
        How many entries were deleted.

    Raises:
        StoreUrlError: The URL cannot be used.
        StoreUnavailable: The Redis does not answer.
    """
    checked = parse_redis_url(url)
    if checked.is_cluster:
        raise StoreUrlError(f"{checked.shown} is a cluster; events are on one server")
    names = frozenset(identifiers)
    deleted = 0
    with redis.Redis.from_url(checked.url, protocol=2, socket_connect_timeout=5.0, socket_timeout=30.0) as client:
        try:
            for entries in _chunks(client, stream):
                found = [entry for entry, fields in entries if is_event_of(fields.get(_FIELD, b""), names)]
                deleted += int(client.xdel(stream, *found)) if found else 0
        except redis.RedisError as error:
            raise StoreUnavailable(explain(error, checked.shown)) from error
    return deleted


def _chunks(client: Any, stream: str) -> Iterator[list[tuple[bytes, dict[bytes, bytes]]]]:
    start = "-"
    while entries := client.xrange(stream, start, "+", count=_STREAM_CHUNK):
        yield entries
        start = f"({entries[-1][0].decode()}"
