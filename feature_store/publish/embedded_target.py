"""`target.Target` in the embedded store. Each call is one transaction, which checks the token first."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from feature_store.embedded import EmbeddedWriter
from feature_store.errors import StoreUnavailable
from feature_store.keys import MARK_FIELD, PUBLICATION_KEY, photo_key, user_key
from feature_store.publish.target import (
    GRACE_SECONDS,
    LEASE_SECONDS,
    Change,
    Found,
    content_fields,
    lease_is_held,
    lease_is_lost,
    time_field_of,
)
from feature_store.rows import Kind
from feature_store.writes import HashWrite

_SELECT: Final = "SELECT field, value FROM hashes WHERE key = ?1"
_SET: Final = "INSERT OR REPLACE INTO hashes VALUES (?, ?, ?)"
_SCAN: Final = """
SELECT h.key, m.value FROM (SELECT DISTINCT key FROM hashes WHERE key > ?1 AND key < ?2 ORDER BY key LIMIT ?3) AS h
LEFT JOIN hashes AS m ON m.key = h.key AND m.field = ?4
"""
_SCAN_COUNT: Final = 1000


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class EmbeddedTarget:
    """See `target.Target`."""

    def __init__(self, writer: EmbeddedWriter, shown: str, ttl_seconds: int) -> None:
        """Take a writer, which `close` closes.

        Args:
            writer: Of the store.
            shown: Its URL.
            ttl_seconds: Life of a record from its last publication; 0 for ever.
        """
        self.shown = shown
        self._writer = writer
        self._connection = writer.connection
        self._ttl_seconds = ttl_seconds
        self._token = 0

    @contextmanager
    def _transaction(self, *, guarded: bool) -> Iterator[None]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                if guarded and self._fields(PUBLICATION_KEY).get("token") != str(self._token).encode():
                    raise lease_is_lost(self.state(), self.shown)
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreUnavailable(f"the embedded store cannot be used ({error})") from error

    def _fields(self, key: str) -> dict[str, bytes]:
        return dict(self._connection.execute(_SELECT, (key,)))

    def _set(self, key: str, fields: Mapping[str, bytes]) -> None:
        self._connection.executemany(_SET, [(key, name, value) for name, value in fields.items()])

    def _set_state(self, state: Mapping[str, str]) -> None:
        self._set(PUBLICATION_KEY, {name: value.encode() for name, value in state.items()})

    def _keep(self, key: str) -> None:
        self._set(key, {MARK_FIELD: str(self._token).encode()})
        if self._ttl_seconds:
            expiry = _now_ms() + 1000 * self._ttl_seconds
            self._connection.execute("INSERT OR REPLACE INTO expiries VALUES (?, ?)", (key, expiry))
        else:
            self._connection.execute("DELETE FROM expiries WHERE key = ?", (key,))

    def state(self) -> dict[str, str]:
        """See `target.Target`."""
        try:
            return {name: value.decode() for name, value in self._fields(PUBLICATION_KEY).items()}
        except sqlite3.Error as error:
            raise StoreUnavailable(f"the embedded store cannot be used ({error})") from error

    def acquire(self, owner: str, holder: str, since: str) -> int:
        """See `target.Target`."""
        with self._transaction(guarded=False):
            state, now = self.state(), _now_ms()
            is_held = int(state.get("lease_until", "0")) + 1000 * GRACE_SECONDS > now
            if is_held and state["owner"] != owner:
                raise lease_is_held(state, self.shown)
            self._token = max(now, int(state.get("token", "0")) + 1)
            until = str(now + 1000 * LEASE_SECONDS)
            who = {"owner": owner, "holder": holder, "since": since, "lease_until": until}
            self._set_state({"token": str(self._token), **who})
        return self._token

    def renew(self, state: Mapping[str, str]) -> None:
        """See `target.Target`."""
        with self._transaction(guarded=True):
            self._set_state({**state, "lease_until": str(_now_ms() + 1000 * LEASE_SECONDS)})

    def release(self, state: Mapping[str, str]) -> None:
        """See `target.Target`."""
        with self._transaction(guarded=True):
            self._set_state({**state, "lease_until": "0"})

    def confirm(self, writes: Sequence[HashWrite], *, is_dry: bool = False) -> list[Found]:
        """See `target.Target`."""
        found = []
        with self._transaction(guarded=not is_dry):
            for write in writes:
                stored = self._fields(write.key)
                differing: dict[str, bytes | None] = {}
                for field in content_fields(write):
                    if stored.get(field) != write.fields[field]:
                        time_field = time_field_of(write.key, field)
                        differing |= {field: stored.get(field), time_field: stored.get(time_field)}
                found.append(Found(bool(stored), MARK_FIELD in stored, differing))
                if stored and not differing and not is_dry:
                    self._keep(write.key)
        return found

    def apply(self, changes: Sequence[Change]) -> list[bool]:
        """See `target.Target`."""
        applied = []
        with self._transaction(guarded=True):
            for change in changes:
                applied.append(change.is_whole or bool(self._fields(change.key)))
                if applied[-1]:
                    self._connection.executemany(
                        "DELETE FROM hashes WHERE key = ? AND field = ?", [(change.key, name) for name in change.absent]
                    )
                    self._set(change.key, change.fields)
                    self._keep(change.key)
        return applied

    def remove(self, keys: Sequence[str]) -> None:
        """See `target.Target`."""
        with self._transaction(guarded=True):
            for table in ("hashes", "expiries"):
                self._connection.executemany(f"DELETE FROM {table} WHERE key = ?", [(key,) for key in keys])

    def read(self, keys: Sequence[str]) -> list[dict[str, bytes]]:
        """See `target.Target`."""
        with self._transaction(guarded=False):
            records = [self._fields(key) for key in keys]
        for record in records:
            record.pop(MARK_FIELD, None)
        return records

    def marks(self, kind: Kind) -> Iterator[list[tuple[str, int | None]]]:
        """See `target.Target`."""
        prefix = photo_key("p")[:-1] if kind == "photos" else user_key("u")[:-1]
        last, end = prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1)
        while True:
            with self._transaction(guarded=False):
                batch = self._connection.execute(_SCAN, (last, end, _SCAN_COUNT, MARK_FIELD)).fetchall()
            if not batch:
                return
            last = batch[-1][0]
            yield [(key, int(mark) if mark else None) for key, mark in batch]

    def close(self) -> None:
        """See `target.Target`."""
        self._writer.close()
