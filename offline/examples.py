"""Examples: what was clicked, with the evidence that stood on that day (paper, 3.4.1).

Positives are clicked bar entries and searches right after a video whose query has item-search intent. Rejects are
impressions of videos known to be unsafe, with the target `[REJECT]`, at a controlled rate. Every example carries the
evidence of ITS day, made from the days before it; a model trained on today's histories of yesterday's clicks would
learn to copy answers that serving never has.

Labels, unlike evidence, may use what was learnt later, as long as it was known before the split that follows: a video
shown on day 3 and reviewed on day 5 is a reject of day 3 for a training job that runs on day 10.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from offline.embedder import TEXT_FIELDS
from offline.errors import SettingsError
from offline.logs import BAR, BoolArray, Logs
from offline.prepare import Prepared
from offline.ranked import FloatArray, IntArray
from offline.safety_labels import SafetyLabels
from offline.user_histories import filter_personal_rows, user_histories_as_of

REJECT_TARGET = "[REJECT]"

EXAMPLE_SCHEMA = pa.schema(
    [
        ("example_id", pa.string()),
        ("day", pa.int32()),
        ("photo_id", pa.string()),
        ("user_id", pa.string()),
        ("kind", pa.string()),
        ("source", pa.string()),
        ("target", pa.string()),
        *((name, pa.string()) for name in TEXT_FIELDS),
        ("summary", pa.string()),
        ("anchors", pa.list_(pa.string())),
        ("histories", pa.list_(pa.string())),
        ("personal", pa.list_(pa.string())),
        ("photo_new", pa.bool_()),
    ]
)
"""One example; `kind` is click, reject or shown (a video of the test day, to be labelled by the evaluation)."""


@dataclass(frozen=True, slots=True)
class ExampleSettings:
    """Which examples are made.

    Attributes:
        first_day: earlier days only serve as the past of later ones; on the very first day nothing has a past.
        reject_rate: rejects per positive, at most.
        seed: which impressions become rejects.
    """

    first_day: int = 1
    reject_rate: float = 0.1
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Split:
    """Some days of the log, and before which day their labels were known."""

    name: str
    days: tuple[int, ...]
    labels_before: int


def split_days(logs: Logs, settings: ExampleSettings) -> tuple[Split, Split, Split]:
    """Training days, the validation day (last but one) and the test day (last).

    Raises:
        SettingsError: fewer than one training day is left.
    """
    test, valid = logs.last_day, logs.last_day - 1
    if settings.first_day >= valid:
        raise SettingsError(
            f"no training day is left: the logs end on day {test}, the last two days are held out, and examples "
            f"start on day {settings.first_day}; bring more days, or lower --first-day"
        )
    return (
        Split("train", tuple(range(settings.first_day, valid)), valid),
        Split("valid", (valid,), test),
        Split("test", (test,), test),
    )


def write_examples(
    prepared: Prepared,
    labels: SafetyLabels,
    settings: ExampleSettings,
    out: Path,
    *,
    show_progress: bool = False,
) -> dict[str, int]:
    """Writes examples_{train,valid,test}.parquet and shown_test.parquet.

    The test split holds clicks only; `shown_test.parquet` has every video shown on the test day once, without a
    target, so that abstention can be measured against labels that offline never reads.

    Returns:
        Rows by file name.

    Raises:
        SettingsError: the logs are too short.
    """
    logs = prepared.logs
    splits = split_days(logs, settings)
    out.mkdir(parents=True, exist_ok=True)
    has_intent = prepared.has_intent(splits[0].labels_before)
    generator = np.random.default_rng(settings.seed)
    counts: dict[str, int] = {}
    with tqdm(
        total=sum(len(split.days) for split in splits) + 1, desc="examples", unit="day", disable=not show_progress
    ) as bar:
        for split in splits:
            name = f"examples_{split.name}.parquet"
            unsafe = labels.known(split.labels_before)
            with pq.ParquetWriter(out / name, EXAMPLE_SCHEMA, compression="zstd") as writer:
                for day in split.days:
                    rows = _clicks(logs, day, has_intent, unsafe)
                    if split.name != "test":
                        limit = round(settings.reject_rate * len(rows.photo))
                        rows = _concat(rows, _rejects(logs, day, labels, unsafe, limit, generator))
                    table = _with_evidence(prepared, day, rows)
                    writer.write_table(table)
                    counts[name] = counts.get(name, 0) + table.num_rows
                    bar.update()
        shown = _with_evidence(prepared, logs.last_day, _shown(logs, logs.last_day, generator))
        pq.write_table(shown, out / "shown_test.parquet", compression="zstd")
        counts["shown_test.parquet"] = shown.num_rows
        bar.update()
    return counts


@dataclass(frozen=True, slots=True)
class _Rows:
    """Examples of one day before they get evidence; all columns have the same length."""

    ids: pa.Array
    photo: IntArray
    user: IntArray
    kind: pa.Array
    source: pa.Array
    target: pa.Array


def _clicks(logs: Logs, day: int, has_intent: BoolArray, unsafe: BoolArray) -> _Rows:
    """Clicked queries with item intent, on videos that are not known to be unsafe."""
    events = logs.events
    chosen = np.flatnonzero((events.day == day) & events.on_trigger & has_intent[events.query])
    chosen = chosen[~unsafe[events.photo[chosen]]]
    source = np.where(events.source[chosen] == BAR, "bar", "post_video")
    return _Rows(
        events.event_ids.take(pa.array(chosen)),
        events.photo[chosen],
        events.user[chosen],
        pa.repeat("click", len(chosen)),
        pa.array(source.tolist(), pa.string()),
        logs.queries.take(pa.array(events.query[chosen])),
    )


def _rejects(
    logs: Logs, day: int, labels: SafetyLabels, unsafe: BoolArray, limit: int, generator: np.random.Generator
) -> _Rows:
    """At most `limit` impressions of unsafe videos, as many different videos as there are before any repeats."""
    shown = logs.impressions
    candidates = np.flatnonzero((shown.day == day) & unsafe[shown.photo])
    generator.shuffle(candidates)
    chosen = candidates[np.argsort(_occurrence(shown.photo[candidates]), kind="stable")][:limit]
    source = np.where(labels.by_rule[shown.photo[chosen]], "rule", "review")
    return _impression_rows(logs, chosen, "reject", pa.array(source.tolist(), pa.string()), REJECT_TARGET)


def _shown(logs: Logs, day: int, generator: np.random.Generator) -> _Rows:
    """One impression of every video shown that day."""
    shown = logs.impressions
    candidates = np.flatnonzero(shown.day == day)
    generator.shuffle(candidates)
    chosen = np.sort(candidates[_occurrence(shown.photo[candidates]) == 0])
    return _impression_rows(logs, chosen, "shown", pa.repeat("impression", len(chosen)), "")


def _impression_rows(logs: Logs, chosen: IntArray, kind: str, source: pa.Array, target: str) -> _Rows:
    shown = logs.impressions
    return _Rows(
        shown.ids.take(pa.array(chosen, pa.int64())),
        shown.photo[chosen],
        shown.user[chosen],
        pa.repeat(kind, len(chosen)),
        source,
        pa.repeat(target, len(chosen)),
    )


def _occurrence(values: IntArray) -> IntArray:
    """For every element how many equal ones stand before it."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(values) else order
    run = np.repeat(starts, np.diff(np.append(starts, len(values))))
    seen = np.empty(len(values), np.int64)
    seen[order] = np.arange(len(values)) - run
    return seen


def _concat(first: _Rows, second: _Rows) -> _Rows:
    return _Rows(
        pa.concat_arrays([first.ids, second.ids]),
        np.concatenate([first.photo, second.photo]),
        np.concatenate([first.user, second.user]),
        pa.concat_arrays([first.kind, second.kind]),
        pa.concat_arrays([first.source, second.source]),
        pa.concat_arrays([first.target, second.target]),
    )


def _with_evidence(prepared: Prepared, day: int, rows: _Rows) -> pa.Table:
    """The rows as a table, each with the evidence of `day`."""
    logs = prepared.logs
    users = prepared.settings.users
    photos, place = np.unique(rows.photo, return_inverse=True)
    anchors, histories = prepared.collaborative(photos, day)
    pasts = user_histories_as_of(logs, day, users.limit).take(rows.user)
    personal = filter_personal_rows(prepared.video_vectors, rows.photo, pasts, prepared.query_vectors, users)

    photo_rows, user_rows = pa.array(rows.photo, pa.int64()), pa.array(rows.user, pa.int64())
    videos = logs.videos.take(photo_rows)
    created: FloatArray = videos["created_day"].to_numpy()
    columns = {
        "example_id": rows.ids,
        "day": pa.repeat(pa.scalar(day, pa.int32()), len(rows.photo)),
        "photo_id": videos["photo_id"],
        "user_id": logs.user_ids.take(user_rows),
        "kind": rows.kind,
        "source": rows.source,
        "target": rows.target,
        **{name: videos[name] for name in (*TEXT_FIELDS, "summary")},
        "anchors": anchors.take(place).to_strings(logs.queries),
        "histories": histories.take(place).to_strings(logs.queries),
        "personal": personal.to_strings(logs.queries),
        "photo_new": pa.array(created == day),
    }
    return pa.table(columns, schema=EXAMPLE_SCHEMA)
