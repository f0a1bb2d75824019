"""Behaviour lists: queries of one video and viewer in the order of Table 2, for list-wise training (paper, 3.4.2).

There is a list for each viewer, video and day with a query that the viewer clicked in the bar or searched right after
watching, if it has item-search intent and the video is not known to be unsafe: the same positives as in the examples.
`list_candidates.py` has the levels, `query_records.py` the CTR, `list_order.py` the order and the filters.

The evidence of a list is made from the days before its day. Levels and CTR are labels: they also use the day itself,
and nothing later. Item-search intent and unsafe videos are what was known before the next split, as for the examples.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from evidence.rows import EVIDENCE_COLUMNS
from offline.arrays import BoolArray, IntArray
from offline.errors import SettingsError
from offline.evidence.embedded_logs import EmbeddedLogs
from offline.evidence.examples import EXAMPLE_SCHEMA, evidence_columns, split_days
from offline.evidence.list_candidates import Candidates, Level, ListSettings, candidates_of_day, own_queries
from offline.evidence.list_order import OrderCounts, by_level, order_lists
from offline.evidence.query_records import QueryRecords, query_records
from offline.evidence.ranked import RankedQueries, offsets_of
from offline.evidence.safety_labels import SafetyLabels

LIST_SCHEMA = pa.schema(
    [
        *(EXAMPLE_SCHEMA.field(name) for name in ("day", "photo_id", "user_id", *EVIDENCE_COLUMNS, "photo_new")),
        ("queries", pa.list_(pa.string())),
        ("levels", pa.list_(pa.int8())),
    ]
)
"""One list. `queries` are in descending order of preference; `levels` are theirs, ascending, 1 to 6, each once."""

_LISTS_AT_ONCE = 20_000
"""Lists whose candidates are held in memory together."""


@dataclass(slots=True)
class SplitCounts:
    """The lists of one split, and what was left out.

    Attributes:
        days: the days of the lists.
        viewings: viewers with at least one query on a video on a day; the sum of the following four.
        on_unsafe_videos: left out, because the video is known to be unsafe.
        without_intent: left out, because no query has item-search intent.
        of_one_query: left out, because nothing is ranked below the first candidate.
        lists: written.
        own_queries_without_intent: queries of viewers that are no candidates, on videos not known to be unsafe.
        beyond_pool: candidates of videos that were not read (`ListSettings.pool`).
        lengths: lists by their number of queries.
        levels: queries of the written lists by level.
        candidates: what became of the candidates of all lists, those of one query among them.
    """

    days: list[int]
    viewings: int = 0
    on_unsafe_videos: int = 0
    without_intent: int = 0
    of_one_query: int = 0
    lists: int = 0
    own_queries_without_intent: int = 0
    beyond_pool: int = 0
    lengths: dict[int, int] = field(default_factory=lambda: dict.fromkeys(range(2, len(Level) + 1), 0))
    levels: dict[int, int] = field(default_factory=by_level)
    candidates: OrderCounts = field(default_factory=OrderCounts)


def write_lists(
    embedded: EmbeddedLogs,
    labels: SafetyLabels,
    settings: ListSettings,
    out: Path,
    *,
    show_progress: bool = False,
) -> dict[str, SplitCounts]:
    """Write lists_train.parquet and lists_valid.parquet. The test day gives no lists.

    Args:
        embedded: the logs with their vectors.
        labels: which videos are unsafe.
        settings: which lists are made.
        out: the folder; it is created when it is missing.
        show_progress: show a progress bar.

    Returns:
        By split, the counts.

    Raises:
        SettingsError: the logs are too short, or their training days give no list.
    """
    splits = split_days(embedded.logs, settings.first_day)[:2]
    out.mkdir(parents=True, exist_ok=True)
    records = query_records(embedded.logs, splits[0].labels_before)
    maker = _Maker(embedded, records, embedded.has_intent(splits[0].labels_before), settings)
    counts: dict[str, SplitCounts] = {}
    with tqdm(total=sum(len(s.days) for s in splits), desc="lists", unit="day", disable=not show_progress) as bar:
        for split in splits:
            counts[split.name] = SplitCounts(list(split.days))
            path = out / f"lists_{split.name}.parquet"
            with pq.ParquetWriter(path, LIST_SCHEMA, compression="zstd") as writer:
                for day in split.days:
                    writer.write_table(maker.lists_of(day, labels.known(split.labels_before), counts[split.name]))
                    bar.update()
            if split.name == "train" and not counts["train"].lists:
                path.unlink()
                raise SettingsError(
                    f"the training days {split.days[0]} to {split.days[-1]} give no behaviour list: no viewer clicked "
                    "or searched a query with item-search intent on a video that has another query; check the tables "
                    "exposures and searches, or give logs of more days"
                )
    return counts


class _Maker:
    """What the lists of every day are made from."""

    def __init__(
        self, embedded: EmbeddedLogs, records: QueryRecords, has_intent: BoolArray, settings: ListSettings
    ) -> None:
        self._embedded, self._records, self._settings = embedded, records, settings
        folded = [query.casefold() for query in records.queries.to_pylist()]
        self._folded = np.unique(np.array(folded, object), return_inverse=True)[1] if folded else np.zeros(0, np.int64)
        # A query that is in no event was never issued, so its intent is never asked for.
        self._has_intent = np.ones(len(records.queries), bool)
        self._has_intent[records.codes] = has_intent

    def lists_of(self, day: int, unsafe: BoolArray, counts: SplitCounts) -> pa.Table:
        """Return the lists of a day, in the order of videos and viewers."""
        own = self._positives(day, unsafe, counts)
        photos = np.unique(np.asarray(own["photo"].to_numpy(), np.int64))
        anchors, histories = self._embedded.collaborative(photos, day)
        retrieved = _distinct_pairs(photos, self._records.codes, anchors, histories)
        found = candidates_of_day(self._records, day, own, retrieved, self._has_intent, self._settings)
        counts.beyond_pool += found.beyond_pool

        chosen, kept = [], []
        for first in range(0, len(found.photo), _LISTS_AT_ONCE):
            end = min(first + _LISTS_AT_ONCE, len(found.photo))
            ordered = order_lists(
                found.of_lists(first, end), end - first, self._folded, self._settings.min_exposures, counts.candidates
            )
            long = np.bincount(ordered.owner, minlength=end - first) > 1
            kept.append(np.flatnonzero(long) + first)
            chosen.append(ordered.take(long[ordered.owner]))
        lists = np.concatenate([np.zeros(0, np.int64), *kept])
        counts.of_one_query += len(found.photo) - len(lists)
        return self._table(day, found.photo[lists], found.user[lists], chosen, photos, (anchors, histories), counts)

    def _positives(self, day: int, unsafe: BoolArray, counts: SplitCounts) -> pa.Table:
        """Return the rows of `own_queries` that are positives, and count the others."""
        rows = own_queries(self._records, day)
        photo = np.asarray(rows["photo"].to_numpy(), np.int64)
        viewing = photo * self._embedded.logs.num_users + np.asarray(rows["user"].to_numpy(), np.int64)
        safe = ~unsafe[photo]
        positive = safe & self._has_intent[rows["query"].to_numpy()]
        viewings = [len(np.unique(viewing[chosen])) for chosen in (slice(None), safe, positive)]
        counts.viewings += viewings[0]
        counts.on_unsafe_videos += viewings[0] - viewings[1]
        counts.without_intent += viewings[1] - viewings[2]
        counts.own_queries_without_intent += int((safe & ~positive).sum())
        return rows.filter(pa.array(positive))

    def _table(
        self,
        day: int,
        photo: IntArray,
        user: IntArray,
        chosen: list[Candidates],
        photos: IntArray,
        collaborative: tuple[RankedQueries, RankedQueries],
        counts: SplitCounts,
    ) -> pa.Table:
        place = np.searchsorted(photos, photo)
        anchors, histories = collaborative
        level = np.concatenate([np.zeros(0, np.int64), *(part.level for part in chosen)])
        query = np.concatenate([np.zeros(0, np.int64), *(part.query for part in chosen)])
        lengths = np.concatenate(
            [np.zeros(0, np.int64), *(np.unique(part.owner, return_counts=True)[1] for part in chosen)]
        )
        counts.lists += len(lengths)
        _count(counts.lengths, lengths)
        _count(counts.levels, level)
        offsets = pa.array(offsets_of(lengths), pa.int32())
        columns = {
            **evidence_columns(self._embedded, day, photo, user, (anchors.take(place), histories.take(place))),
            "queries": pa.ListArray.from_arrays(offsets, self._records.queries.take(pa.array(query, pa.int64()))),
            "levels": pa.ListArray.from_arrays(offsets, pa.array(level, pa.int8())),
        }
        return pa.table({name: columns[name] for name in LIST_SCHEMA.names}, schema=LIST_SCHEMA)


def _count(counts: dict[int, int], values: IntArray) -> None:
    for value in counts:
        counts[value] += int((values == value).sum())


def _distinct_pairs(photos: IntArray, codes: IntArray, *fields: RankedQueries) -> tuple[IntArray, IntArray]:
    """Return the distinct pairs of a video and a query in these fields; row i of each belongs to ``photos[i]``."""
    photo = np.concatenate([np.repeat(photos, ranked.lengths) for ranked in fields])
    query = np.concatenate([codes[ranked.queries] for ranked in fields])
    pairs = np.unique(np.stack([photo, query]), axis=1)
    return pairs[0], pairs[1]
