"""The journal of a publication: what videos were before it, on disk, so that it can be undone.

An SQLite file that is only appended to. Each chunk is on disk (fsync) before the store is changed, so the journal
knows every change, also after `kill -9`. A record that changes twice is in it twice. Undoing goes from the newest
entry to the oldest, so the oldest one counts. Users are not in it: a history that was erased must not come back from
a file.

The process that has a journal open is the only one: SQLite keeps the file locked until the process ends, however it
ends. So a lease in the store whose owner is this journal belongs to a process that is gone.
"""

from __future__ import annotations

import socket
import sqlite3
import uuid
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Final, Literal, NamedTuple, Self

from feature_store.errors import PublishError

What = Literal["new", "changed", "removed"]


class JournalBusy(PublishError):
    """Another process has the journal open."""


class Entry(NamedTuple):
    """What a publication did to one record, and what the record was before.

    Attributes:
        what: The change.
        key: Of the record.
        fields: All fields of a removed record; of a changed one those that were replaced, None where there was none.
    """

    what: What
    key: str
    fields: Mapping[str, bytes | None]


_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS before (id INTEGER PRIMARY KEY, entry INTEGER, key TEXT, field TEXT, value BLOB);
CREATE TABLE IF NOT EXISTS removals (id INTEGER PRIMARY KEY, key TEXT UNIQUE);
"""
_WHAT: Final = ""
"""The name of the row that begins an entry; no field has it."""


class Journal:
    """An open journal; `close` it, or use it in a `with` statement.

    Attributes:
        owner: An identity of this file, for the lease.
        place: The host and the path, for the state in the store.
    """

    def __init__(self, path: Path) -> None:
        """Open a journal; it is made where it is missing.

        Raises:
            PublishError: another process has it open, or it cannot be used.
        """
        self.path = path
        self.place = place_of(path)
        try:
            self._connection = sqlite3.connect(path, timeout=0.0, isolation_level=None)
            self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("BEGIN EXCLUSIVE")
            for statement in _SCHEMA.split(";"):
                self._connection.execute(statement)
            self._connection.execute("INSERT OR IGNORE INTO about VALUES ('owner', ?)", (uuid.uuid4().hex,))
            self._connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise JournalBusy(f"another process has the journal {path} open; wait for it to end") from error
            raise PublishError(f"the journal {path} cannot be used ({error}): name another with --journal") from error
        except sqlite3.DatabaseError as error:
            raise PublishError(f"{path} is no journal ({error}): name another with --journal") from error
        self.owner = self._about("owner")
        newest = self._connection.execute("SELECT entry FROM before ORDER BY id DESC LIMIT 1").fetchone()
        self._entry = int(newest[0]) if newest else 0

    def _about(self, name: str) -> str:
        row = self._connection.execute("SELECT value FROM about WHERE name = ?", (name,)).fetchone()
        return row[0] if row else ""

    @property
    def publication(self) -> str:
        """The number of the publication that this journal can undo; empty where it is none."""
        return self._about("publication")

    def begin(self, publication: str) -> None:
        """Forget everything, and begin the journal of a publication."""
        self._connection.execute("BEGIN")
        self._connection.execute("DELETE FROM before")
        self._connection.execute("INSERT OR REPLACE INTO about VALUES ('publication', ?)", (publication,))
        self._connection.execute("COMMIT")
        self._entry = 0

    def append(self, entries: Sequence[Entry]) -> None:
        """Write entries to disk before it returns."""
        rows: list[tuple[int, str, str, str | bytes | None]] = []
        for what, key, fields in entries:
            self._entry += 1
            rows.append((self._entry, key, _WHAT, what))
            rows += [(self._entry, key, *field) for field in fields.items()]
        self._connection.execute("BEGIN")
        self._connection.executemany("INSERT INTO before (entry, key, field, value) VALUES (?, ?, ?, ?)", rows)
        self._connection.execute("COMMIT")

    def __len__(self) -> int:
        return self._entry

    def newest_first(self) -> Iterator[Entry]:
        """Yield all entries, from the newest to the oldest."""
        rows = self._connection.execute("SELECT entry, key, field, value FROM before ORDER BY id DESC")
        for (_, key), of_entry in groupby(rows, key=itemgetter(0, 1)):
            fields = {field: value for *_, field, value in of_entry}
            yield Entry(fields.pop(_WHAT), key, fields)

    def list_removals(self, batches: Iterator[list[str]]) -> int:
        """Keep the keys of records to remove, instead of what was kept before; return how many they are."""
        self._connection.execute("BEGIN")
        self._connection.execute("DELETE FROM removals")
        for keys in batches:
            self._connection.executemany("INSERT OR IGNORE INTO removals (key) VALUES (?)", [(key,) for key in keys])
        self._connection.execute("COMMIT")
        (count,) = self._connection.execute("SELECT count(*) FROM removals").fetchone()
        return int(count)

    def removals(self, size: int) -> Iterator[list[str]]:
        """Yield the keys of records to remove, `size` at a time."""
        last = 0
        while rows := self._connection.execute(
            "SELECT id, key FROM removals WHERE id > ? ORDER BY id LIMIT ?", (last, size)
        ).fetchall():
            last = rows[-1][0]
            yield [key for _, key in rows]

    def close(self) -> None:
        """Close the file, which ends the lock."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def place_of(path: Path) -> str:
    """Return the host and the path of a journal."""
    return f"{socket.gethostname()}:{path.resolve()}"


def path_at(place: str) -> Path | None:
    """Return the path of a journal's place, or None where it is on another host or not there."""
    host, _, path = place.partition(":")
    return Path(path) if host == socket.gethostname() and path and Path(path).is_file() else None
