"""The three relations that the embedder is trained on (paper, Table 1), as pairs of texts.

query_video    a search led to a clicked video                     search_clicks
video_query    a query was issued on a video, or clicked below it   searches (post_video), exposures
query_query    a query was followed by another one                  searches (previous_query)

Each pair is held once, with the number of its events. Texts are the ones that evidence and serving embed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evidence.cleaning import clean_query
from offline.arrays import BoolArray, IntArray
from offline.embedder.vectors import video_texts
from offline.logs.coded import Logs, caused_by_video

QUERY_VIDEO, VIDEO_QUERY, QUERY_QUERY = "query_video", "video_query", "query_query"
RELATIONS = (QUERY_VIDEO, VIDEO_QUERY, QUERY_QUERY)
WITH_NEGATIVE = "video_query_unclicked"
"""The pairs of video_query that have a hard negative, which training holds as a set of their own."""

FROM_VIDEO = frozenset({VIDEO_QUERY, WITH_NEGATIVE})
TO_VIDEO = frozenset({QUERY_VIDEO})
"""Where the left texts, and where the right texts, are those of videos."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """The distinct pairs of one relation in some days.

    Attributes:
        left, right: int64[n], codes of videos or of queries, as the relation says.
        count: int64[n], the number of events of each pair.
    """

    left: IntArray
    right: IntArray
    count: IntArray

    def __len__(self) -> int:
        return len(self.left)


@dataclass(frozen=True, slots=True)
class Events:
    """The events of one relation, one row each; the codes are those of the logs."""

    day: IntArray
    left: IntArray
    right: IntArray

    def kept(self, chosen: BoolArray) -> Events:
        """Return the events that a mask chooses."""
        return Events(self.day[chosen], self.left[chosen], self.right[chosen])

    def pairs(self, first_day: int, before_day: int) -> Pairs:
        """Return the distinct pairs of the days from `first_day` to the one before `before_day`, in order of codes."""
        inside = (self.day >= first_day) & (self.day < before_day)
        both = np.stack([self.left[inside], self.right[inside]])  # [2, events]
        unique, count = np.unique(both, axis=1, return_counts=True)
        return Pairs(unique[0], unique[1], count)


@dataclass(frozen=True, slots=True)
class Relations:
    """The events of every relation, with the texts that their codes stand for.

    Attributes:
        events: by name of the relation.
        video_texts: the embedded text of each video, "" where nothing is known of it.
        query_texts: each query of the logs.
        unclicked: queries that were shown on a video and not clicked, as (video, query); None if they were not read.
    """

    events: dict[str, Events]
    video_texts: list[str]
    query_texts: list[str]
    unclicked: Events | None = None

    def left_texts(self, relation: str) -> list[str]:
        """Return the texts that the left codes of a relation index."""
        return self.video_texts if relation in FROM_VIDEO else self.query_texts

    def right_texts(self, relation: str) -> list[str]:
        """Return the texts that the right codes of a relation index."""
        return self.video_texts if relation in TO_VIDEO else self.query_texts

    def texts(self, before_day: int) -> Iterator[str]:
        """Yield the texts of all events before a day, each as often as it occurs, up to a limit."""
        for side, texts in (("video", self.video_texts), ("query", self.query_texts)):
            counts = np.zeros(len(texts), np.int64)
            for relation, events in self.events.items():
                past = events.day < before_day
                for codes, source in (
                    (events.left, self.left_texts(relation)),
                    (events.right, self.right_texts(relation)),
                ):
                    if source is texts:
                        counts += np.bincount(codes[past], minlength=len(texts))
            limit = 1 if side == "video" else _QUERY_REPEATS
            for code in np.flatnonzero(counts):
                for _ in range(min(int(counts[code]), limit)):
                    yield texts[code]


_QUERY_REPEATS = 20
"""The most times that the tokenizer reads one query; a video's text is read once."""


def hard_negatives(relations: Relations, pairs: Pairs, before_day: int, seed: int) -> IntArray:
    """Return int64[n], for each (video, query) pair one query that was shown on the video and never wanted on it.

    Args:
        relations: with `unclicked`.
        pairs: of the relation video_query.
        before_day: shown and wanted on the days before it.
        seed: of the draw.

    Returns:
        Codes of queries; -1 where the video has none.
    """
    if relations.unclicked is None or not len(pairs):
        return np.full(len(pairs), -1, np.int64)
    size = len(relations.query_texts)
    wanted = relations.events[VIDEO_QUERY].pairs(0, before_day)
    shown = relations.unclicked.pairs(0, before_day)
    keys = np.setdiff1d(shown.left * size + shown.right, wanted.left * size + wanted.right)  # in order of videos
    first, last = np.searchsorted(keys, [pairs.left * size, (pairs.left + 1) * size])
    place = first + (np.random.default_rng(seed).random(len(pairs)) * (last - first)).astype(np.int64)
    return np.where(last > first, keys[np.minimum(place, max(len(keys) - 1, 0))] % size if len(keys) else -1, -1)


def read_relations(logs: Logs, *, with_unclicked: bool = False) -> Relations:
    """Read the relations of the logs.

    Args:
        logs: the log tables.
        with_unclicked: read the exposures without a click too.
    """
    videos = video_texts(logs.videos)
    has_text = np.array(list(map(bool, videos)), bool)
    photo_ids = logs.videos["photo_id"].combine_chunks()

    clicks = logs.engine.fetch(logs.tables["search_clicks"].select("day", "query", "photo_id"))
    clicked = Events(
        _values(clicks["day"]), _query_codes(clicks["query"], logs.queries), _codes(clicks["photo_id"], photo_ids)
    )
    searches = logs.tables["searches"].filter(lambda row: row.previous_query.notnull())
    asked = logs.engine.fetch(searches.select("day", "query", "previous_query"))
    followed = Events(
        _values(asked["day"]),
        _query_codes(asked["previous_query"], logs.queries),
        _query_codes(asked["query"], logs.queries),
    )
    caused = logs.engine.fetch(caused_by_video(logs.events).select("day", "photo", "query"))
    issued = Events(_values(caused["day"]), _values(caused["photo"]), _values(caused["query"]))
    return Relations(
        {
            QUERY_VIDEO: clicked.kept((clicked.left >= 0) & has_text[clicked.right]),
            VIDEO_QUERY: issued.kept(has_text[issued.left]),
            QUERY_QUERY: followed.kept(
                (followed.left >= 0) & (followed.right >= 0) & (followed.left != followed.right)
            ),
        },
        videos,
        logs.queries.to_pylist(),
        _unclicked(logs, has_text) if with_unclicked else None,
    )


def _unclicked(logs: Logs, has_text: BoolArray) -> Events:
    shown = logs.tables["exposures"].filter(lambda row: ~row.clicked).select("impression_id", "query")
    watched = shown.inner_join(logs.impressions, "impression_id").select("day", "photo", "query")
    rows = logs.engine.fetch(watched)
    events = Events(_values(rows["day"]), _values(rows["photo"]), _query_codes(rows["query"], logs.queries))
    return events.kept((events.right >= 0) & has_text[events.left])


def _query_codes(column: pa.ChunkedArray, queries: pa.Array) -> IntArray:
    """Return the codes of raw queries once they are cleaned, -1 for one that the vocabulary does not have."""
    encoded = pc.dictionary_encode(column.combine_chunks())
    cleaned = pa.array([clean_query(query) for query in encoded.dictionary.to_pylist()], pa.string())
    codes: IntArray = _codes(cleaned, queries)[encoded.indices.to_numpy()]
    return codes


def _codes(column: pa.Array | pa.ChunkedArray, values: pa.Array) -> IntArray:
    found = pc.index_in(column, value_set=values, skip_nulls=True)
    return np.asarray(pc.fill_null(found, -1).to_numpy(), np.int64)


def _values(column: pa.ChunkedArray) -> IntArray:
    return np.asarray(column.to_numpy(), np.int64)
