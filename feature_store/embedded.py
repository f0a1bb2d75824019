"""The embedded store: SQLite, in memory or in a file, for a laptop and for tests. It needs no server.

It holds the fields that FORMAT.md defines for Redis, byte for byte. A read runs in the caller's thread: it takes tens
of microseconds, less than a change of threads costs. Where the file is busy it waits for `timeout_seconds` at most.
Writes to a file run in a thread.

What has expired is not read. It is deleted when the file is next opened for writing; expired shown queries are deleted
when a service next records some.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from feature_store.circuit import CircuitState
from feature_store.codec import encode_member
from feature_store.errors import StoreUnavailable, StoreUrlError
from feature_store.keys import USER_FIELDS, photo_key, shown_key, user_key
from feature_store.records import (
    DOWN,
    PHOTO_HASH_FIELDS,
    TIMEOUT,
    Fetched,
    decode_photo,
    decode_shown,
    decode_user,
)
from feature_store.redaction import redact
from feature_store.settings import StoreSettings
from feature_store.writes import HashWrite

_APPLICATION_ID: Final = 0x0B5A0001  # marks the file as ours, format 1
_WRITE_WAIT_SECONDS: Final = 10.0
_SCHEMA: Final = f"""
CREATE TABLE IF NOT EXISTS hashes (key TEXT, field TEXT, value BLOB, PRIMARY KEY (key, field)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS expiries (key TEXT PRIMARY KEY, at_ms INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS shown (key TEXT, query BLOB, at_ms INTEGER, PRIMARY KEY (key, query)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS shown_at ON shown (at_ms);
CREATE INDEX IF NOT EXISTS expiries_at ON expiries (at_ms);
PRAGMA application_id = {_APPLICATION_ID};
"""
_SELECT_HASH: Final = """
SELECT field, value FROM hashes
WHERE key = ?1 AND NOT EXISTS (SELECT 1 FROM expiries WHERE key = ?1 AND at_ms <= ?2)
"""
_SELECT_SHOWN: Final = "SELECT query, at_ms FROM shown WHERE key = ? AND at_ms >= ? ORDER BY at_ms DESC LIMIT ?"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _connect(path: Path | None, wait_seconds: float) -> sqlite3.Connection:
    target = ":memory:" if path is None else str(path)
    return sqlite3.connect(target, timeout=wait_seconds, isolation_level=None, check_same_thread=False)


def path_of(url: str) -> Path | None:
    """Return the file of a sqlite:/// URL, or None for memory://. Raises StoreUrlError where it names no file."""
    scheme, _, rest = url.partition("://")
    if scheme == "memory":
        if rest:
            raise StoreUrlError(f"{redact(url)} names a path, but memory:// has none; use sqlite:///FILE")
        return None
    if len(rest) < 2 or not rest.startswith("/"):
        raise StoreUrlError(f"{redact(url)} names no file; write sqlite:///relative.db or sqlite:////absolute.db")
    return Path(rest[1:])


def _is_busy(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class EmbeddedStore:
    """See `store.Store`. In memory it also takes writes, through `writer`."""

    def __init__(self, url: str, path: Path | None, settings: StoreSettings) -> None:
        """Open the file, or a store in memory where `path` is None."""
        self._url = url
        self._path = path
        self._settings = settings
        self._connection = _connect(path, settings.timeout_seconds)

    @property
    def url(self) -> str:
        """See `store.Store`."""
        return self._url

    @property
    def circuit_state(self) -> CircuitState:
        """See `store.Store`."""
        return "closed"

    async def fetch(
        self,
        photo_id: str | None,
        user_id: str | None = None,
        *,
        want_shown: bool = False,
        timeout_seconds: float | None = None,
        embedding_version: str | None = None,
    ) -> Fetched:
        """See `store.Store`. `timeout_seconds` is not needed here: see the module's first lines."""
        key_of_photo = photo_key(photo_id) if photo_id is not None else None
        key_of_user = user_key(user_id) if user_id is not None else None
        key_of_shown = shown_key(user_id) if user_id is not None and want_shown else None
        version = embedding_version or self._settings.embedding_version
        now = _now_ms()
        try:
            photo, photo_degraded = (
                decode_photo(self._read_hash(key_of_photo, PHOTO_HASH_FIELDS, now), version)
                if key_of_photo
                else (None, ())
            )
            user, user_degraded = (
                decode_user(self._read_hash(key_of_user, USER_FIELDS, now), version) if key_of_user else (None, ())
            )
            shown, shown_degraded = decode_shown(self._read_shown(key_of_shown, now)) if key_of_shown else ((), ())
        except sqlite3.Error as error:
            return Fetched(degraded=(TIMEOUT if _is_busy(error) else DOWN,))
        return Fetched(photo, user, shown, photo_degraded + user_degraded + shown_degraded)

    def _read_hash(self, key: str, fields: Sequence[str], now: int) -> list[bytes | None]:
        found: dict[str, bytes] = dict(self._connection.execute(_SELECT_HASH, (key, now)))
        return [found.get(field) for field in fields]

    def _read_shown(self, key: str, now: int) -> list[tuple[bytes, float]]:
        since = now - 1000 * self._settings.shown_window_seconds
        return self._connection.execute(_SELECT_SHOWN, (key, since, self._settings.shown_limit)).fetchall()

    async def record_shown(self, user_id: str, queries: Sequence[str], *, shown_at_ms: int | None = None) -> bool:
        """See `store.Store`."""
        key = shown_key(user_id)
        at = _now_ms() if shown_at_ms is None else shown_at_ms
        rows = [(key, encode_member(query), at) for query in queries]
        oldest = _now_ms() - 1000 * self._settings.shown_window_seconds
        try:
            if self._path is None:
                _write_shown(self._connection, rows, oldest)
            else:
                await asyncio.to_thread(self._write_shown_to_file, rows, oldest)
        except sqlite3.Error:
            return False
        return True

    def _write_shown_to_file(self, rows: list[tuple[str, bytes, int]], oldest: int) -> None:
        with closing(_connect(self._path, _WRITE_WAIT_SECONDS)) as connection:
            _write_shown(connection, rows, oldest)

    async def ping(self) -> float:
        """See `store.Store`."""
        start = time.perf_counter()
        try:
            self._connection.execute("SELECT count(*) FROM (SELECT 1 FROM hashes LIMIT 1)").fetchone()
        except sqlite3.Error as error:
            raise StoreUnavailable(
                f"{self._url} does not answer ({error}); make it again with `onebar evidence load`"
            ) from error
        return time.perf_counter() - start

    async def close(self) -> None:
        """See `store.Store`."""
        self._connection.close()

    def writer(self) -> EmbeddedWriter:
        """Return a writer on this very store; closing it leaves the store open."""
        return EmbeddedWriter(self._connection, self._settings.ttl_seconds, owned=False)


def _write_shown(connection: sqlite3.Connection, rows: list[tuple[str, bytes, int]], oldest: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.executemany("INSERT OR REPLACE INTO shown VALUES (?, ?, ?)", rows)
        connection.execute("DELETE FROM shown WHERE at_ms < ?", (oldest,))  # of all users: some never come back
    except sqlite3.Error:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


class EmbeddedWriter:
    """See `writes.Writer`. `connection` is open until `close`."""

    def __init__(self, connection: sqlite3.Connection, ttl_seconds: int, *, owned: bool) -> None:
        """Take an open connection; `close` closes it where it is owned."""
        self.connection = connection
        self._ttl_seconds = ttl_seconds
        self._owned = owned

    def write(self, writes: Sequence[HashWrite]) -> None:
        """See `writes.Writer`."""
        now = _now_ms()
        keys = [(write.key,) for write in writes]
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                # What has run out is gone: a field must not come back to life because another one is written.
                self.connection.executemany(
                    "DELETE FROM hashes WHERE key = ?1 AND EXISTS"
                    f" (SELECT 1 FROM expiries WHERE key = ?1 AND at_ms <= {now})",
                    keys,
                )
                self.connection.executemany(
                    "INSERT OR REPLACE INTO hashes VALUES (?, ?, ?)",
                    [(write.key, name, value) for write in writes for name, value in write.fields.items()],
                )
                if self._ttl_seconds:
                    expiry = now + 1000 * self._ttl_seconds
                    self.connection.executemany(
                        "INSERT OR REPLACE INTO expiries VALUES (?, ?)", [(key, expiry) for (key,) in keys]
                    )
                else:
                    self.connection.executemany("DELETE FROM expiries WHERE key = ?", keys)
            except sqlite3.Error:
                self.connection.execute("ROLLBACK")
                raise
            self.connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreUnavailable(f"the embedded store cannot be written ({error})") from error

    def close(self) -> None:
        """See `writes.Writer`."""
        if self._owned:
            self.connection.close()


def open_embedded(url: str, settings: StoreSettings) -> EmbeddedStore:
    """Open `sqlite:///PATH` or `memory://`; see `store.open_store`.

    Raises:
        StoreUrlError: no such file, or not one of ours.
    """
    path = path_of(url)
    if path is not None:
        if not path.is_file():
            raise StoreUrlError(f"{path} is not there; make it with `onebar evidence load FILE --store {url}`")
        store = EmbeddedStore(url, path, settings)
        try:
            _check_is_store(store._connection, path)
        except StoreUrlError:
            store._connection.close()
            raise
        return store
    store = EmbeddedStore(url, None, settings)
    store._connection.executescript(_SCHEMA)
    return store


def open_embedded_writer(url: str, ttl_seconds: int) -> EmbeddedWriter:
    """Open `sqlite:///PATH` for writing; the file and its folder are made where they are missing.

    Raises:
        StoreUrlError: not a file, not one of ours, or not to be made.
    """
    path = path_of(url)
    if path is None:
        raise StoreUrlError("memory:// is gone with this command; write into sqlite:///evidence.db or a Redis")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = not path.exists() or path.stat().st_size == 0
        connection = _connect(path, _WRITE_WAIT_SECONDS)
    except (OSError, sqlite3.Error) as error:
        raise StoreUrlError(f"{path} cannot be made ({error})") from error
    try:
        if not fresh:
            _check_is_store(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")  # a service may read on while a file is loaded
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(_SCHEMA)
        connection.execute("DELETE FROM hashes WHERE key IN (SELECT key FROM expiries WHERE at_ms <= ?)", (_now_ms(),))
        connection.execute("DELETE FROM expiries WHERE at_ms <= ?", (_now_ms(),))
    except StoreUrlError:
        connection.close()
        raise
    except sqlite3.Error as error:
        connection.close()
        raise StoreUrlError(f"{path} cannot be written ({error})") from error
    return EmbeddedWriter(connection, ttl_seconds, owned=True)


def _check_is_store(connection: sqlite3.Connection, path: Path) -> None:
    try:
        (mark,) = connection.execute("PRAGMA application_id").fetchone()
    except sqlite3.Error as error:
        raise StoreUrlError(f"{path} is no SQLite file ({error}); name another, or delete it") from error
    if mark != _APPLICATION_ID:
        raise StoreUrlError(f"{path} is not a store of evidence; make one with `onebar evidence load`")
