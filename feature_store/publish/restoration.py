"""Restoring the publication before: the journal, applied from its newest entry to its oldest."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from feature_store.errors import FeatureStoreError, PublishError
from feature_store.keys import PHOTO_FIELDS
from feature_store.publish.journal import Entry, Journal, What
from feature_store.publish.pace import Pace, size_of
from feature_store.publish.publication import holder, now_text
from feature_store.publish.sample import Sample
from feature_store.publish.target import Change, Target
from feature_store.writes import HashWrite

_NOTHING: Final[dict[str, bytes | None]] = dict.fromkeys(PHOTO_FIELDS)


@dataclass(slots=True)
class RestoreReport:
    """What was undone.

    Attributes:
        undone: Entries of the journal by what the publication had done.
        read_back: Records of the sample.
        seconds: Duration.
    """

    undone: Counter[What] = field(default_factory=Counter)
    read_back: int = 0
    seconds: float = 0.0


def restore(
    target: Target,
    journal: Journal,
    *,
    sample: int = 1000,
    pace: Pace | None = None,
    progress: Callable[[float], object] | None = None,
) -> RestoreReport:
    """Undo the last publication, finished or not: videos become what they were before it.

    Fields that other jobs have written, and users, stay as they are. After `kill -9`, running it again finishes it.

    Args:
        target: The store. Stays open.
        journal: Of the last publication. Stays open.
        sample: Records that are read back.
        pace: No limit when None.
        progress: Called with the number of entries after each chunk.

    Raises:
        PublishError: the journal is of another publication, another process publishes, or what was read back differs.
        StoreUnavailable: the store was lost; restoring again is safe.
    """
    start = time.perf_counter()
    pace = pace or Pace()
    report = RestoreReport()
    token = str(target.acquire(journal.owner, holder(), now_text()))
    try:
        publication = target.state().get("publication", "")
        if not publication or publication != journal.publication:
            raise PublishError(
                f"{journal.path} is not the journal of the last publication in {target.shown}: a publication can be"
                " undone once, until the next one begins, with the journal that it has made"
            )
        target.renew({"status": "restoring"})
        expected = Sample(sample, token)
        for chunk in _chunks(journal.newest_first(), pace.chunk_rows):
            _undo(target, chunk, expected)
            report.undone.update(entry.what for entry in chunk)
            pace.wait(len(chunk), sum(size_of(_as_write(entry)) for entry in chunk))
            target.renew({})
            if progress is not None:
                progress(len(chunk))
        report.read_back = expected.read_back(target)
        target.release({"status": "restored", "publication": "", "finished": now_text()})
        journal.begin("")
    except BaseException:
        with suppress(FeatureStoreError):
            target.release({})
        raise
    report.seconds = time.perf_counter() - start
    return report


def _chunks(entries: Iterator[Entry], size: int) -> Iterator[list[Entry]]:
    """Yield the entries in chunks in which no key comes twice."""
    chunk: dict[str, Entry] = {}
    for entry in entries:
        if len(chunk) == size or entry.key in chunk:
            yield list(chunk.values())
            chunk = {}
        chunk[entry.key] = entry
    if chunk:
        yield list(chunk.values())


def _as_write(entry: Entry) -> HashWrite:
    return HashWrite(entry.key, {name: value for name, value in entry.fields.items() if value is not None})


def _undo(target: Target, entries: list[Entry], expected: Sample) -> None:
    target.remove([entry.key for entry in entries if entry.what == "new"])
    changes = []
    for entry in entries:
        if entry.what != "new":
            absent = [name for name, value in entry.fields.items() if value is None]
            changes.append(Change(entry.key, _as_write(entry).fields, absent, is_whole=entry.what == "removed"))
    applied = dict(zip([change.key for change in changes], target.apply(changes), strict=True))
    for entry in entries:
        if applied.get(entry.key, True):  # or the record has expired, and a part of it would be of no use
            expected.add(entry.key, _NOTHING if entry.what == "new" else entry.fields)
