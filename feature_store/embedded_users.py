"""`user_records.UserRecords` in the embedded store."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Final

from feature_store.embedded import open_embedded_writer, path_of
from feature_store.errors import StoreUnavailable, StoreUrlError
from feature_store.keys import shown_key, user_key

_COPIES: Final = (
    "INSERT INTO shown SELECT ?2, query, at_ms FROM shown WHERE key = ?1"
    " ON CONFLICT DO UPDATE SET at_ms = max(at_ms, excluded.at_ms)",
    "INSERT INTO hashes SELECT ?2, field, value FROM hashes"
    " WHERE key = ?1 AND NOT EXISTS (SELECT 1 FROM hashes WHERE key = ?2)",
    "INSERT OR IGNORE INTO expiries SELECT ?2, at_ms FROM expiries WHERE key = ?1",
)


class EmbeddedUserRecords:
    """See `user_records.UserRecords`."""

    def __init__(self, url: str) -> None:
        """Open a file. Raises StoreUrlError."""
        if url.startswith("memory:"):
            raise StoreUrlError("memory:// is gone with its process; there is nothing to change in it")
        path = path_of(url)
        if path is not None and not path.is_file():
            raise StoreUrlError(f"{path} is not there; correct the URL")
        self._writer = open_embedded_writer(url, ttl_seconds=0)
        self._connection = self._writer.connection

    def keys(self) -> Iterator[str]:
        """See `user_records.UserRecords`."""
        # Listed before the first change: a statement that is open while its table changes may never end.
        listed = self._execute("SELECT DISTINCT key FROM hashes WHERE key GLOB ?", user_key("*"))
        listed += self._execute("SELECT DISTINCT key FROM shown WHERE key GLOB ?", shown_key("*"))
        yield from (key for (key,) in listed)

    def _execute(self, statement: str, *values: str) -> list[tuple[str]]:
        try:
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise StoreUnavailable(f"the embedded store cannot be used ({error})") from error

    def copy(self, pairs: Sequence[tuple[str, str]]) -> None:
        """See `user_records.UserRecords`."""
        for old, new in pairs:
            for statement in _COPIES:
                self._execute(statement, old, new)

    def delete(self, keys: Sequence[str]) -> int:
        """See `user_records.UserRecords`."""
        deleted = 0
        for key in keys:
            (found,) = self._execute(
                "SELECT EXISTS (SELECT 1 FROM hashes WHERE key = ?1) OR EXISTS (SELECT 1 FROM shown WHERE key = ?1)",
                key,
            )
            deleted += int(found[0])
            for table in ("hashes", "expiries", "shown"):
                self._execute(f"DELETE FROM {table} WHERE key = ?", key)
        return deleted

    def close(self) -> None:
        """See `user_records.UserRecords`."""
        self._writer.close()
