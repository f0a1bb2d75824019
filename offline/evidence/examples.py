"""Training examples: clicked queries, each with the evidence of its own day (paper, 3.4.1).

Positives are clicked bar entries and searches right after a video, if the query has item-search intent. Rejects are
impressions of videos known to be unsafe, with the target `[REJECT]`, at a limited rate. The evidence of an example is
made from the days before the example. With later histories a model would learn to copy answers that serving does not
have.

Labels may use later knowledge, as long as it was known before the next split: a video shown on day 3 and reviewed on
day 5 is a reject of day 3 for a training job on day 10.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from evidence.rows import QUERY_FIELDS, TEXT_FIELDS
from offline.arrays import FloatArray, IntArray
from offline.errors import SettingsError
from offline.evidence.embedded_logs import EmbeddedLogs
from offline.evidence.example_rows import ExampleRows, clicked_rows, joined, reject_rows, shown_rows
from offline.evidence.personal import filter_personal_rows
from offline.evidence.ranked import RankedQueries
from offline.evidence.safety_labels import SafetyLabels
from offline.logs.coded import Logs

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
        *((name, pa.list_(pa.string())) for name in QUERY_FIELDS),
        ("photo_new", pa.bool_()),
    ]
)
"""One example. `kind` is click, reject or shown; the evaluation labels the shown videos of the held-out days."""

HELD_OUT = ("valid", "test")
"""The splits whose shown videos are written too, so that abstention can be measured on them."""


@dataclass(frozen=True, slots=True)
class ExampleSettings:
    """Which examples are made.

    Attributes:
        first_day: the first day with examples; earlier days are only the past of later ones.
        reject_rate: the most rejects for each positive.
        seed: of the choice of impressions that become rejects.
    """

    first_day: int = 1
    reject_rate: float = 0.1
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Split:
    """Some days of the log, and the day before which their labels were known."""

    name: str
    days: tuple[int, ...]
    labels_before: int


def split_days(logs: Logs, first_day: int) -> tuple[Split, Split, Split]:
    """Return the training days from `first_day` on, the validation day (last but one) and the test day (last).

    Raises:
        SettingsError: no training day is left.
    """
    test, valid = logs.last_day, logs.last_day - 1
    if first_day >= valid:
        raise SettingsError(
            f"no training day is left: the logs end on day {test}, the last two days are held out, and examples "
            f"start on day {first_day}; give logs of more days, or lower --first-day"
        )
    return (
        Split("train", tuple(range(first_day, valid)), valid),
        Split("valid", (valid,), test),
        Split("test", (test,), test),
    )


def write_examples(
    embedded: EmbeddedLogs,
    labels: SafetyLabels,
    settings: ExampleSettings,
    out: Path,
    *,
    show_progress: bool = False,
) -> dict[str, int]:
    """Write examples_{train,valid,test}.parquet and shown_{valid,test}.parquet.

    The test split has clicks only. The shown files have every video of their day once, without a target, so that
    abstention can be measured against labels that this package never reads.

    Args:
        embedded: the logs with their vectors.
        labels: which videos are unsafe.
        settings: which examples are made.
        out: the folder; it is created when it is missing.
        show_progress: show a progress bar.

    Returns:
        The number of rows by file name.

    Raises:
        SettingsError: the logs are too short.
    """
    logs = embedded.logs
    splits = split_days(logs, settings.first_day)
    out.mkdir(parents=True, exist_ok=True)
    # What `onebar evaluate --labels` has made of the examples that are replaced.
    for name in HELD_OUT:
        (out / f"unsafe_{name}.parquet").unlink(missing_ok=True)
    has_intent = embedded.has_intent(splits[0].labels_before)
    counts: dict[str, int] = {}
    days = sum(len(split.days) for split in splits) + len(HELD_OUT)
    with tqdm(total=days, desc="examples", unit="day", disable=not show_progress) as bar:
        for split in splits:
            name = f"examples_{split.name}.parquet"
            unsafe = labels.known(split.labels_before)
            with pq.ParquetWriter(out / name, EXAMPLE_SCHEMA, compression="zstd") as writer:
                for day in split.days:
                    rows = clicked_rows(logs, day, has_intent, unsafe)
                    if split.name != "test":
                        limit = round(settings.reject_rate * len(rows.photo))
                        rows = joined(rows, reject_rows(logs, day, labels, unsafe, limit, settings.seed))
                    table = _with_evidence(embedded, day, rows)
                    writer.write_table(table)
                    counts[name] = counts.get(name, 0) + table.num_rows
                    bar.update()
            if split.name in HELD_OUT:
                [day] = split.days
                shown = _with_evidence(embedded, day, shown_rows(logs, day, settings.seed))
                name = f"shown_{split.name}.parquet"
                pq.write_table(shown, out / name, compression="zstd")
                counts[name] = shown.num_rows
                bar.update()
    return counts


def evidence_columns(
    embedded: EmbeddedLogs,
    day: int,
    photo: IntArray,
    user: IntArray,
    collaborative: tuple[RankedQueries, RankedQueries],
) -> dict[str, pa.Array]:
    """Return the evidence of (video, viewer) rows on a day, by the names of EXAMPLE_SCHEMA.

    Args:
        embedded: the logs with their vectors.
        day: the day of the rows.
        photo: int64[n], the video of each row.
        user: int64[n], the viewer of each row.
        collaborative: the anchors and the histories of each row, as of `day` (EmbeddedLogs.collaborative).
    """
    logs, users = embedded.logs, embedded.settings.users
    pasts = embedded.user_histories(day).take(user)
    personal = filter_personal_rows(embedded.video_vectors, photo, pasts, embedded.query_vectors, users)
    videos = logs.videos.take(pa.array(photo, pa.int64()))
    created: FloatArray = videos["created_day"].to_numpy()
    anchors, histories = collaborative
    return {
        "day": pa.repeat(pa.scalar(day, pa.int32()), len(photo)),
        "photo_id": videos["photo_id"],
        "user_id": logs.user_ids.take(pa.array(user, pa.int64())),
        **{name: videos[name] for name in (*TEXT_FIELDS, "summary")},
        "anchors": anchors.to_strings(logs.queries),
        "histories": histories.to_strings(logs.queries),
        "personal": personal.to_strings(logs.queries),
        "photo_new": pa.array(created == day),
    }


def _with_evidence(embedded: EmbeddedLogs, day: int, rows: ExampleRows) -> pa.Table:
    """Return the rows as a table, each with the evidence of `day`."""
    photos, place = np.unique(rows.photo, return_inverse=True)
    anchors, histories = embedded.collaborative(photos, day)
    columns = {
        "example_id": rows.ids,
        "kind": rows.kind,
        "source": rows.source,
        "target": rows.target,
        **evidence_columns(embedded, day, rows.photo, rows.user, (anchors.take(place), histories.take(place))),
    }
    return pa.table({name: columns[name] for name in EXAMPLE_SCHEMA.names}, schema=EXAMPLE_SCHEMA)
