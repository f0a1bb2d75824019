"""A publication: the store is made equal to a set of files.

1. Each row of the files is compared with the store, in chunks. What differs is noted in the journal, then written.
2. Published records that are in no file any more are listed, noted in the journal, then removed.
3. A sample is read back.

Every step can be repeated: a publication that was killed is continued by running it again on the same files. Memory
does not depend on the number of rows.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from feature_store.errors import FeatureStoreError, PublishError
from feature_store.files import Source
from feature_store.loader import BadRows, Progress, encoded_batches
from feature_store.publish.journal import Entry, Journal
from feature_store.publish.pace import Pace, size_of
from feature_store.publish.report import PublishReport
from feature_store.publish.sample import Sample
from feature_store.publish.target import Change, Target, changed_part, content_fields, unique
from feature_store.rows import Kind, RowOptions
from feature_store.writes import HashWrite

FINISHED: Final = frozenset({"", "published", "restored"})
"""Values of the state's `status` after which a publication is a new one, not the continuation of another."""


@dataclass(frozen=True, slots=True)
class PublishSettings:
    """Choices of a publication.

    Attributes:
        sample: Records that are read back.
        max_removed: The largest share of a kind's published records that may be removed.
    """

    sample: int = 1000
    max_removed: float = 0.2


@dataclass(slots=True)
class _Run:
    """The parts that the steps of one run share."""

    target: Target
    journal: Journal
    pace: Pace
    sample: Sample
    report: PublishReport


def holder() -> str:
    """Return who publishes, for people."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = f"user {os.getuid()}"
    return f"{user}@{socket.gethostname()} (process {os.getpid()})"


def now_text() -> str:
    """Return the time in UTC, for people."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def publish(
    sources: Sequence[Source],
    target: Target,
    journal: Journal,
    row_options: RowOptions,
    content: str,
    *,
    settings: PublishSettings | None = None,
    pace: Pace | None = None,
    bad_rows: BadRows | None = None,
    progress: Progress | None = None,
) -> PublishReport:
    """Make the store equal to files: write what differs, remove what is gone.

    Only kinds that the files have are touched. A column that a file does not have leaves the stored field as it is.

    Args:
        sources: Of `loader.open_sources`.
        target: Where to. Stays open.
        journal: Of this store. Stays open.
        row_options: How rows are encoded.
        content: A hash of the files and of what else decides what they are stored as. A publication that was not
            finished is continued where it ended if this is the same, and from the first row if not.
        settings: Defaults when None.
        pace: No limit when None.
        bad_rows: Where bad rows are put aside. What is stored of a bad row's video stays as it is.
        progress: Called after each batch.

    Returns:
        The report.

    Raises:
        PublishError: another process publishes, too many records would be removed, or what was read back differs.
        LoadError: a file cannot be read further.
        StoreUnavailable: the store was lost. In all cases, publishing again is safe and continues.
    """
    start = time.perf_counter()
    settings, pace = settings or PublishSettings(), pace or Pace()
    report = PublishReport()
    token = str(target.acquire(journal.owner, holder(), now_text()))
    try:
        state = _begin(target, journal, token, content)
        report.continue_from(state)
        run = _Run(target, journal, pace, Sample(settings.sample, token), report)
        done = _upsert_all(run, sources, row_options, bad_rows, progress)
        for kind in dict.fromkeys(source.kind for source in sources):
            _remove_missing(run, kind, int(state["marks_from"]), settings.max_removed)
        try:
            report.read_back = run.sample.read_back(target)
        except PublishError:
            # What is lost may be anything: the next run compares every row.
            target.renew({"position": "0", "counts": PublishReport().to_state()})
            raise
        versions = json.dumps(report.embedding_versions, sort_keys=True)
        finished = {"status": "published", "finished": now_text(), "embedding_versions": versions}
        target.release(finished | {"position": str(done), "counts": report.to_state()})
    except BaseException:
        with suppress(FeatureStoreError):
            target.release({})
        raise
    report.seconds = time.perf_counter() - start
    return report


def _begin(target: Target, journal: Journal, token: str, content: str) -> dict[str, str]:
    """Store that a publication has begun or continues, and return the state."""
    state = target.state()
    is_unfinished = state.get("status", "") not in FINISHED and journal.publication == state.get("publication")
    if is_unfinished and state["content"] == content and state["status"] == "publishing":
        return state
    new = {"status": "publishing", "content": content, "marks_from": token, "position": "0", "begun": now_text()}
    new |= {"counts": PublishReport().to_state(), "journal": journal.place}
    if not is_unfinished:  # or the journal goes on: what it has is of the last publication that was finished
        journal.begin(token)
        new["publication"] = token
    target.renew(new)
    return state | new


def _upsert_all(
    run: _Run,
    sources: Sequence[Source],
    row_options: RowOptions,
    bad_rows: BadRows | None,
    progress: Progress | None,
) -> int:
    """Write what differs, and return the number of rows. Rows that an earlier run has done are only encoded."""
    done = 0
    for source in sources:
        for batch in encoded_batches(source, row_options, bad_rows, run.report.loaded):
            done += batch.rows
            run.report.loaded.written += len(batch.writes)
            writes = unique(batch.writes)
            for write in writes:
                contents = {name: write.fields[name] for name in content_fields(write)}
                run.sample.add(write.key, contents)
                run.report.count_version(contents)
            if done > run.report.continued_from:
                kept = dict.fromkeys(batch.bad_keys) if batch.bad_keys else {}
                run.target.confirm([HashWrite(key, {}) for key in kept])
                for chunk in run.pace.chunks(writes):
                    _upsert(run, source.kind, chunk)
                run.target.renew({"position": str(done), "counts": run.report.to_state()})
            else:
                run.target.renew({})
            if progress is not None:
                progress(source, batch.position)
    return done


def _upsert(run: _Run, kind: Kind, writes: list[HashWrite]) -> None:
    changes: list[Change] = []
    entries: list[Entry] = []
    whole: list[HashWrite] = []
    size = 0
    for write, found in zip(writes, run.target.confirm(writes), strict=True):
        run.report.count_found(kind, found)
        if not found.differing:
            continue
        part = changed_part(kind, write, found)
        changes.append(Change(part.key, part.fields, is_whole=not found.exists))
        entries.append(Entry("changed" if found.exists else "new", write.key, found.differing if found.exists else {}))
        whole.append(write)
        size += size_of(part)
    if changes:
        if kind == "photos":
            run.journal.append(entries)
        applied = run.target.apply(changes)
        # A record that was evicted between the two calls must not come back as a part of itself.
        gone = [Change(write.key, write.fields) for write, is_done in zip(whole, applied, strict=True) if not is_done]
        if gone:
            run.target.apply(gone)
        run.report.bytes_written += size
    run.pace.wait(len(writes), size)
    run.target.renew({})


def _remove_missing(run: _Run, kind: Kind, marks_from: int, max_removed: float) -> None:
    """Remove the records of a kind whose mark is older than this publication."""
    published = 0

    def old() -> Iterator[list[str]]:
        nonlocal published
        for batch in run.target.marks(kind):
            published += sum(mark is not None for _, mark in batch)
            yield [key for key, mark in batch if mark is not None and mark < marks_from]
            run.target.renew({})

    count = run.journal.list_removals(old())
    if count > max_removed * published:
        raise PublishError(
            f"{count:,} of {published:,} published {kind} are in no file any more, and none was removed: if that is"
            f" right, publish again with --max-removed {min(1.0, count / published + 0.01):.2f}"
        )
    for keys in run.journal.removals(run.pace.chunk_rows):
        if kind == "photos":
            records = zip(keys, run.target.read(keys), strict=True)
            run.journal.append([Entry("removed", key, fields) for key, fields in records if fields])
        run.target.remove(keys)
        run.report.count(kind, "removed", len(keys))
        run.pace.wait(len(keys), 0)
        run.target.renew({"counts": run.report.to_state()})
