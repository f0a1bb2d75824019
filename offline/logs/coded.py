"""The log tables in memory, with every string replaced by an integer code.

Millions of rows are grouped, counted and joined per day. On integer codes NumPy does that in seconds. Queries are
cleaned once, here (evidence.cleaning), so that everything made from the logs uses the same strings.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evidence.cleaning import clean_query
from offline.arrays import BoolArray, IntArray
from offline.errors import SettingsError
from offline.logs.schema import SEARCH_SOURCES
from offline.logs.tables import read_table

BAR, POST_VIDEO = (SEARCH_SOURCES.index(name) for name in ("bar", "post_video"))


@dataclass(frozen=True, slots=True)
class QueryEvents:
    """Queries that users issued or clicked, one row each; all arrays have the same length.

    A click in the bar comes from the exposures table. The search that it opened is not counted again.

    Attributes:
        event_ids: `bar:<impression>:<position>` or `search:<search_id>`, unique.
        day, ts: the day of the log, and unix milliseconds.
        user, photo, query: codes; photo is -1 when no known video was watched.
        source: index into `offline.logs.schema.SEARCH_SOURCES`.
    """

    event_ids: pa.Array
    day: IntArray
    ts: IntArray
    user: IntArray
    photo: IntArray
    query: IntArray
    source: IntArray

    @property
    def on_trigger(self) -> BoolArray:
        """Which events a video caused: bar clicks, and searches right after watching."""
        from_video: BoolArray = (self.source == BAR) | (self.source == POST_VIDEO)
        return from_video & (self.photo >= 0)


@dataclass(frozen=True, slots=True)
class Impressions:
    """Videos that users watched, one row each."""

    ids: pa.Array
    day: IntArray
    ts: IntArray
    user: IntArray
    photo: IntArray


@dataclass(frozen=True, slots=True)
class Searches:
    """Every search of any source, with the item clicks that followed. Item-search intent is learnt from them."""

    day: IntArray
    query: IntArray
    item_clicks: IntArray


@dataclass(frozen=True, slots=True)
class Reviews:
    """Verdicts of the platform's safety review."""

    day: IntArray
    photo: IntArray
    unsafe: BoolArray


@dataclass(frozen=True, slots=True)
class Logs:
    """One coded dataset. Photo code i is row i of `videos`; user and query codes index `user_ids` and `queries`.

    Attributes:
        videos: the videos table.
        queries: cleaned, unique and in alphabetical order, so the order of codes is the order of strings.
        last_day: the last day with an impression or a search.
        unknown: by table, the rows that were left out because they name a video or user that no table has.
    """

    videos: pa.Table
    user_ids: pa.Array
    queries: pa.Array
    events: QueryEvents
    impressions: Impressions
    searches: Searches
    reviews: Reviews
    last_day: int
    unknown: dict[str, int] = field(default_factory=dict)

    @property
    def num_photos(self) -> int:
        """How many videos there are."""
        return int(self.videos.num_rows)

    @property
    def num_users(self) -> int:
        """How many users there are."""
        return len(self.user_ids)

    def check_day(self, day: int) -> int:
        """Return `day` if evidence can be made for it, that is from day 0 to the day after the last one.

        Raises:
            SettingsError: the logs cannot give evidence for that day.
        """
        if not 0 <= day <= self.last_day + 1:
            raise SettingsError(
                f"the logs cover days 0 to {self.last_day}; evidence can be made as of day 0 to {self.last_day + 1}, "
                f"not {day}"
            )
        return day


def load_logs(dataset: Path | str) -> Logs:
    """Read the log tables of a dataset folder.

    Raises:
        TableError: a table is missing or not of the documented form.
        SettingsError: there are no impressions at all.
    """
    videos = read_table(dataset, "videos")
    photo_ids = videos["photo_id"].combine_chunks()
    user_ids = read_table(dataset, "users", ["user_id"])["user_id"].combine_chunks()
    impressions = read_table(dataset, "impressions")
    if impressions.num_rows == 0:
        raise SettingsError(f"the impressions table in {dataset} is empty; evidence needs at least one impression")
    exposures = read_table(dataset, "exposures", ["impression_id", "day", "position", "query", "clicked"])
    clicks = exposures.filter(pc.and_(exposures["clicked"], pc.greater(exposures["position"], 0)))
    searches = read_table(dataset, "searches")
    reviews = read_table(dataset, "reviews")

    vocabulary = _Queries([clicks["query"], searches["query"]])
    photos, users = _codes(impressions["photo_id"], photo_ids), _codes(impressions["user_id"], user_ids)
    known = (photos >= 0) & (users >= 0)
    shown = Impressions(
        impressions["impression_id"].combine_chunks().filter(pa.array(known)),
        _ints(impressions["day"])[known],
        _ints(impressions["ts"])[known],
        users[known],
        photos[known],
    )
    review_photos = _codes(reviews["photo_id"], photo_ids)
    reviewed = review_photos >= 0
    events, orphans = _events(clicks, searches, shown, vocabulary, photo_ids, user_ids)
    return Logs(
        videos=videos,
        user_ids=user_ids,
        queries=vocabulary.cleaned,
        events=events,
        impressions=shown,
        searches=_searches(searches, vocabulary),
        reviews=Reviews(
            _ints(reviews["day"])[reviewed],
            review_photos[reviewed],
            np.asarray(pc.equal(reviews["verdict"], "unsafe").to_numpy())[reviewed],
        ),
        last_day=int(max(shown.day.max(initial=0), events.day.max(initial=0))),
        unknown={
            "impressions": int((~known).sum()),
            "query events": orphans,
            "reviews": int((~reviewed).sum()),
        },
    )


class _Queries:
    """The vocabulary of cleaned queries, and the mapping from raw strings to its codes."""

    def __init__(self, columns: list[pa.ChunkedArray]) -> None:
        raw = pc.unique(pa.chunked_array([chunk for column in columns for chunk in column.chunks], pa.string()))
        cleaned = [clean_query(query) for query in raw.to_pylist()]
        distinct = sorted({query for query in cleaned if query})
        place = {query: code for code, query in enumerate(distinct)}
        self._raw = raw
        self._to_cleaned = np.array([place.get(query, -1) for query in cleaned] + [-1], np.int64)
        self.cleaned: pa.Array = pa.array(distinct, pa.string())

    def codes(self, column: pa.ChunkedArray) -> IntArray:
        """Return the codes of the cleaned queries, -1 where cleaning leaves nothing."""
        return self._to_cleaned[_codes(column, self._raw)]


def _events(
    clicks: pa.Table,
    searches: pa.Table,
    shown: Impressions,
    vocabulary: _Queries,
    photo_ids: pa.Array,
    user_ids: pa.Array,
) -> tuple[QueryEvents, int]:
    """Return bar clicks and searches in one table, and the number of rows that name something unknown."""
    row = _codes(clicks["impression_id"], shown.ids)
    click_query = vocabulary.codes(clicks["query"])
    placed = (row >= 0) & (click_query >= 0)
    row = row[placed]
    clicks = clicks.filter(pa.array(placed))
    bar_ids = pc.binary_join_element_wise("bar", clicks["impression_id"], clicks["position"].cast(pa.string()), ":")

    own = searches.filter(pc.not_equal(searches["source"], "bar"))
    user, query = _codes(own["user_id"], user_ids), vocabulary.codes(own["query"])
    issued = (user >= 0) & (query >= 0)
    own = own.filter(pa.array(issued))
    search_ids = pc.binary_join_element_wise("search", own["search_id"], ":")
    source = _codes(own["source"], pa.array(SEARCH_SOURCES))

    events = QueryEvents(
        event_ids=pa.chunked_array([*bar_ids.chunks, *search_ids.chunks], pa.string()).combine_chunks(),
        day=np.concatenate([_ints(clicks["day"]), _ints(own["day"])]),
        ts=np.concatenate([shown.ts[row], _ints(own["ts"])]),
        user=np.concatenate([shown.user[row], user[issued]]),
        photo=np.concatenate([shown.photo[row], _codes(own["photo_id"], photo_ids)]),
        query=np.concatenate([click_query[placed], query[issued]]),
        source=np.concatenate([np.full(len(row), BAR, np.int64), source]),
    )
    return events, int((~placed).sum() + (~issued).sum())


def _searches(searches: pa.Table, vocabulary: _Queries) -> Searches:
    query = vocabulary.codes(searches["query"])
    kept = query >= 0
    return Searches(_ints(searches["day"])[kept], query[kept], _ints(searches["item_clicks"])[kept])


def _codes(column: pa.ChunkedArray, values: pa.Array) -> IntArray:
    """Return the index of every string in `values`, -1 for a null and for a string that is not there."""
    found = pc.index_in(column, value_set=values, skip_nulls=True)
    return np.asarray(pc.fill_null(found, -1).to_numpy(), np.int64)


def _ints(column: pa.ChunkedArray) -> IntArray:
    return np.asarray(column.to_numpy(), np.int64)
