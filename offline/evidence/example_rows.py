"""Which rows of the logs become examples: clicked queries, impressions of unsafe videos, and videos that were shown.

Choices at random are made by a hash of the seed and the impression, so they depend neither on the order of the rows
nor on the engine.
"""

from __future__ import annotations

from dataclasses import dataclass

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from evidence.tokens import REJECT_TOKEN
from offline.arrays import BoolArray, IntArray
from offline.evidence.safety_labels import SafetyLabels
from offline.logs.coded import Logs, caused_by_video


@dataclass(frozen=True, slots=True)
class ExampleRows:
    """Examples of one day, still without evidence; all columns have the same length."""

    ids: pa.Array
    photo: IntArray
    user: IntArray
    kind: pa.Array
    source: pa.Array
    target: pa.Array


def clicked_rows(logs: Logs, day: int, has_intent: BoolArray, unsafe: BoolArray) -> ExampleRows:
    """Return the clicked queries with item-search intent, on videos that are not known to be unsafe, in order of time.

    Args:
        logs: the log tables.
        day: the day of the clicks.
        has_intent: bool[queries].
        unsafe: bool[videos].
    """
    events = caused_by_video(logs.events)
    events = events.filter(events.day == day).order_by("ts", "event_id")
    rows = logs.engine.fetch(events.select("event_id", "photo", "user", "query", "source"))
    photo, query = _codes(rows, "photo"), _codes(rows, "query")
    chosen = has_intent[query] & ~unsafe[photo]
    kept = rows.filter(pa.array(chosen))
    return ExampleRows(
        kept["event_id"].combine_chunks(),
        photo[chosen],
        _codes(kept, "user"),
        pa.repeat("click", kept.num_rows),
        kept["source"].combine_chunks(),
        logs.queries.take(pa.array(query[chosen])),
    )


def reject_rows(logs: Logs, day: int, labels: SafetyLabels, unsafe: BoolArray, limit: int, seed: int) -> ExampleRows:
    """Return at most `limit` impressions of unsafe videos; a video repeats only when there are no others.

    Args:
        logs: the log tables.
        day: the day of the impressions.
        labels: why a video is unsafe.
        unsafe: bool[videos].
        limit: the most rows.
        seed: of the choice.
    """
    codes = logs.engine.load(pa.table({"photo": pa.array(np.flatnonzero(unsafe), pa.int64())}))
    drawn = _drawn(logs, day, seed).semi_join(codes, "photo")
    rows = logs.engine.fetch(drawn.order_by("repeat", "draw", "impression_id").limit(limit))
    source = np.where(labels.by_rule[_codes(rows, "photo")], "rule", "review")
    return _of_impressions(rows, "reject", pa.array(source.tolist(), pa.string()), REJECT_TOKEN)


def shown_rows(logs: Logs, day: int, seed: int) -> ExampleRows:
    """Return one impression of every video shown on a day, in order of time.

    Args:
        logs: the log tables.
        day: the day of the impressions.
        seed: of the choice.
    """
    drawn = _drawn(logs, day, seed)
    rows = logs.engine.fetch(drawn.filter(drawn.repeat == 0).order_by("ts", "impression_id"))
    return _of_impressions(rows, "shown", pa.repeat("impression", rows.num_rows), "")


def joined(first: ExampleRows, second: ExampleRows) -> ExampleRows:
    """Return the rows of both."""
    return ExampleRows(
        pa.concat_arrays([first.ids, second.ids]),
        np.concatenate([first.photo, second.photo]),
        np.concatenate([first.user, second.user]),
        pa.concat_arrays([first.kind, second.kind]),
        pa.concat_arrays([first.source, second.source]),
        pa.concat_arrays([first.target, second.target]),
    )


def _drawn(logs: Logs, day: int, seed: int) -> ir.Table:
    """Return the impressions of a day with a random `draw`, and in `repeat` how many of the video were drawn before."""
    shown = logs.impressions.filter(logs.impressions.day == day)
    shown = shown.mutate(draw=(ibis.literal(f"{seed}:") + shown.impression_id).hexdigest("md5"))
    return shown.mutate(repeat=ibis.row_number().over(group_by="photo", order_by=["draw", "impression_id"]))


def _of_impressions(rows: pa.Table, kind: str, source: pa.Array, target: str) -> ExampleRows:
    return ExampleRows(
        rows["impression_id"].combine_chunks(),
        _codes(rows, "photo"),
        _codes(rows, "user"),
        pa.repeat(kind, rows.num_rows),
        source,
        pa.repeat(target, rows.num_rows),
    )


def _codes(rows: pa.Table, name: str) -> IntArray:
    return np.asarray(rows[name].to_numpy(), np.int64)
