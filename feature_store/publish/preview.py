"""What a publication would do: the counts, without writing anything."""

from __future__ import annotations

import time
from array import array
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from feature_store.files import Source
from feature_store.loader import BadRows, Progress, encoded_batches
from feature_store.publish.pace import Pace, size_of
from feature_store.publish.report import PublishReport
from feature_store.publish.target import Target, changed_part, unique
from feature_store.rows import Kind, RowOptions


def preview(
    sources: Sequence[Source],
    target: Target,
    row_options: RowOptions,
    *,
    pace: Pace | None = None,
    bad_rows: BadRows | None = None,
    progress: Progress | None = None,
) -> PublishReport:
    """Compare files with the store as `publication.publish` does, and count. It keeps eight bytes for each row.

    Args:
        sources: Of `loader.open_sources`.
        target: The store. Stays open.
        row_options: How rows are encoded.
        pace: No limit when None.
        bad_rows: Where bad rows are put aside.
        progress: Called after each batch.

    Raises:
        LoadError: a file cannot be read further.
        StoreUnavailable: the store was lost.
    """
    start = time.perf_counter()
    pace = pace or Pace()
    report = PublishReport()
    keys: dict[Kind, array[int]] = {}
    for source in sources:
        seen = keys.setdefault(source.kind, array("Q"))
        for batch in encoded_batches(source, row_options, bad_rows, report.loaded):
            report.loaded.written += len(batch.writes)
            writes = unique(batch.writes)
            seen.extend(_short(key) for key in (*(write.key for write in writes), *batch.bad_keys))
            for chunk in pace.chunks(writes):
                for write, found in zip(chunk, target.confirm(chunk, is_dry=True), strict=True):
                    report.count_found(source.kind, found)
                    report.count_version(write.fields)
                    if found.differing:
                        report.bytes_written += size_of(changed_part(source.kind, write, found))
                pace.wait(len(chunk), 0)
            if progress is not None:
                progress(source, batch.position)
    for kind, of_kind in keys.items():
        report.count(kind, "removed", _missing(target, kind, of_kind))
    report.seconds = time.perf_counter() - start
    return report


def _short(key: str) -> int:
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "little")


def _missing(target: Target, kind: Kind, seen: array[int]) -> int:
    """Count the published records whose keys were not seen."""
    in_files = np.sort(np.frombuffer(seen, np.uint64)) if seen else np.zeros(0, np.uint64)
    missing: set[int] = set()  # a key may come twice
    for batch in target.marks(kind):
        found = np.array([_short(key) for key, mark in batch if mark is not None], np.uint64)
        missing.update(found[~np.isin(found, in_files)].tolist())
    return len(missing)
