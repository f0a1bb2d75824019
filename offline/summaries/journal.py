"""What is done: an append-only file of results by content, and of the money that a run has cost.

Each line is one JSON object, written before the next step; what costs money is also synced to the disk. A process that
is killed loses at most what was under way; a line that it cut off is removed at the next start. Results are found by a
hash of everything that they depend on, so a result is used again as long as nothing of that has changed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from offline.summaries.errors import JournalError

NAME = "journal.jsonl"

_SYNCED = frozenset({"answer", "reserved", "settled", "run"})
"""Kinds of records that must survive a loss of power."""


def content_key(*parts: Any) -> str:
    """Return a hash of plain values. Equal values have equal keys, on any machine."""
    text = json.dumps(parts, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:32]


class Journal:
    """The journal of one output folder, for one process at a time. A context manager; safe for several threads."""

    def __init__(self, folder: Path) -> None:
        """Open or create the journal of a folder.

        Raises:
            JournalError: another process uses it, or a line is damaged.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / NAME
        self._lock = threading.Lock()
        self._results: dict[tuple[str, str], Any] = {}
        self._reserved: dict[int, float] = {}
        self._spent = 0.0
        self._open_run = False
        self._numbers = 0
        self._file = self._path.open("ab+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise JournalError(f"another process writes to {folder}; wait for it, or give another folder") from error
        try:
            self._load()
        except JournalError:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def get(self, kind: str, key: str) -> Any:
        """Return the result of this kind and key, None if there is none."""
        return self._results.get((kind, key))

    def put(self, kind: str, key: str, value: Any) -> None:
        """Record a result; it replaces an older one with the same key."""
        self._write({"kind": kind, "key": key, "value": value})

    def begin_run(self) -> float:
        """Begin a run that costs money, or continue the last one if it has not ended.

        Returns:
            The dollars that the continued run has cost, those of requests without a known end included.
        """
        if not self._open_run:
            self._write({"kind": "run", "value": "begun"})
        return self._spent + sum(self._reserved.values())

    def end_run(self) -> None:
        """End the run, so that the next one has the whole limit again."""
        self._write({"kind": "run", "value": "ended"})

    def reserve(self, dollars: float) -> int:
        """Record that a request may cost this much, and return its number."""
        self._numbers += 1
        self._write({"kind": "reserved", "number": self._numbers, "value": dollars})
        return self._numbers

    def settle(self, number: int, dollars: float) -> None:
        """Record what the request with this number has cost."""
        self._write({"kind": "settled", "number": number, "value": dollars})

    def _load(self) -> None:
        self._file.seek(0)
        whole = 0
        for number, line in enumerate(self._file, start=1):
            if not line.endswith(b"\n"):
                break
            try:
                self._apply(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise JournalError(
                    f"{self._path}, line {number} is damaged; remove the line, or the file to begin again"
                ) from error
            whole += len(line)
        self._file.truncate(whole)

    def _write(self, record: dict[str, Any]) -> None:
        line = json.dumps(record, ensure_ascii=True, separators=(",", ":")).encode("ascii") + b"\n"
        with self._lock:
            self._file.write(line)
            self._file.flush()
            if record["kind"] in _SYNCED:
                os.fsync(self._file.fileno())
            self._apply(record)

    def _apply(self, record: dict[str, Any]) -> None:
        """Take a record into account, one that was just written or one of the file."""
        match record["kind"]:
            case "run":
                self._open_run = record["value"] == "begun"
                self._spent = 0.0
                self._reserved.clear()
            case "reserved":
                self._numbers = record["number"]
                self._reserved[record["number"]] = float(record["value"])
            case "settled":
                self._reserved.pop(record["number"], None)
                self._spent += float(record["value"])
            case kind:
                self._results[kind, record["key"]] = record["value"]
