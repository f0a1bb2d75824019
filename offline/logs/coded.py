"""The log tables with every string replaced by an integer code, in the engine.

Rows of impressions, clicks and searches stay in the engine, where they may be larger than memory; what is held in
memory grows with videos, users and distinct queries only. Queries are cleaned once, here (evidence.cleaning), so that
everything made from the logs uses the same strings. Codes follow the alphabetical order of the strings, so neither the
order of the rows nor the engine decides which code a string gets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evidence.cleaning import clean_query
from offline.arrays import BoolArray, IntArray
from offline.errors import SettingsError
from offline.logs.engine import Engine, open_engine
from offline.logs.intake import Intake, IntakeSettings, TableCount, read_logs
from offline.logs.schema import MILLISECONDS_PER_DAY, TABLES

_QUERIES_AT_ONCE = 1 << 16

FROM_VIDEO = ("bar", "post_video")
"""Sources of queries that a video caused: bar clicks, and searches right after watching."""


@dataclass(frozen=True, slots=True)
class Reviews:
    """Verdicts of the platform's safety review."""

    day: IntArray
    photo: IntArray
    unsafe: BoolArray


@dataclass(frozen=True, slots=True)
class Logs:
    """One coded dataset. Photo code i is row i of `videos`; user and query codes index `user_ids` and `queries`.

    A click in the bar comes from the exposures table. The search that it opened is not counted again.

    Attributes:
        engine: the engine that holds the tables.
        tables: by name, the sound rows as they were stored.
        videos: the videos table, in the order of `photo_id`.
        user_ids: in alphabetical order.
        queries: cleaned, unique and in alphabetical order, so the order of codes is the order of strings.
        events: queries that users issued or clicked: `event_id` (`bar:<impression>:<position>` or
            `search:<search_id>`), `day`, `ts`, `user`, `photo` (-1 when no video was watched), `query`, `source`,
            `engaged` (the click was followed by engagement with an item; the search led to an item click).
        issued: queries that videos caused, by day: `day`, `photo`, `query`, `times`, `latest` (ts).
        asked: queries of users, by day: `day`, `user`, `query`, `latest` (ts).
        impressions: videos that users watched: `impression_id`, `day`, `ts`, `user`, `photo`.
        searches: searches of any source, by day: `day`, `query`, `searched`, `clicked` (those with an item click).
        reviews: verdicts of safety review.
        last_day: the last day with an impression or an event.
        start_ms: the midnight (UTC) at or before the start of day 0, unix milliseconds.
        counts: by table, the rows read and those set aside.
        emptied: the number of distinct queries that cleaning leaves empty; their rows are left out.
    """

    engine: Engine
    tables: Mapping[str, ir.Table]
    videos: pa.Table
    user_ids: pa.Array
    queries: pa.Array
    events: ir.Table
    issued: ir.Table
    asked: ir.Table
    impressions: ir.Table
    searches: ir.Table
    reviews: Reviews
    last_day: int
    start_ms: int
    counts: Mapping[str, TableCount]
    emptied: int

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


def load_logs(dataset: Path | str, engine: Engine | None = None, settings: IntakeSettings | None = None) -> Logs:
    """Read, check and code the log tables of a dataset.

    Args:
        dataset: a folder, or a URL that the engine reads.
        engine: the engine; DuckDB when None.
        settings: how bad rows are treated; the defaults when None.

    Raises:
        TableError: a table is missing, not of the documented form, or has too many bad rows.
        SettingsError: there are no impressions at all.
    """
    return code_logs(read_logs(dataset, engine or open_engine(), settings), dataset)


def code_logs(intake: Intake, dataset: Path | str) -> Logs:
    """Code log tables that are read and checked.

    Args:
        intake: the tables.
        dataset: where they are from, for messages.

    Raises:
        SettingsError: there are no impressions at all.
    """
    engine, tables = intake.engine, intake.tables
    videos = engine.keep(_numbered(tables["videos"], "photo_id", "photo"))
    users = engine.keep(_numbered(tables["users"], "user_id", "user").select("user_id", "user"))
    impressions = engine.keep(_impressions(tables["impressions"], videos, users))
    shown = engine.fetch(
        impressions.agg(
            last_day=impressions.day.max(), start=(impressions.ts - impressions.day * MILLISECONDS_PER_DAY).min()
        )
    ).to_pylist()[0]
    if shown["last_day"] is None:
        raise SettingsError(f"the impressions table in {dataset} is empty; evidence needs at least one impression")

    clicks = tables["exposures"].filter(lambda row: row.clicked & (row.position > 0))
    vocabulary = Vocabulary(engine, [clicks, tables["searches"]])
    searches = vocabulary.coded(tables["searches"])
    events = engine.keep(_events(vocabulary.coded(clicks), searches, impressions, videos, users))
    last_event = engine.fetch(events.agg(day=events.day.max()))["day"][0].as_py()
    return Logs(
        engine=engine,
        tables=tables,
        videos=engine.fetch(videos.order_by("photo").select(*TABLES["videos"].schema.names)),
        user_ids=engine.fetch(users.order_by("user").select("user_id"))["user_id"].combine_chunks(),
        queries=vocabulary.cleaned,
        events=events,
        issued=engine.keep(_issued_by_day(events)),
        asked=engine.keep(_asked_by_day(events)),
        impressions=impressions,
        searches=engine.keep(_searches_by_day(searches)),
        reviews=_reviews(engine, tables["reviews"], videos),
        last_day=max(shown["last_day"], -1 if last_event is None else last_event),
        start_ms=shown["start"] - shown["start"] % MILLISECONDS_PER_DAY,
        counts=intake.counts,
        emptied=vocabulary.emptied,
    )


class Vocabulary:
    """The cleaned queries of some tables, and their codes for raw ones.

    Attributes:
        cleaned: unique, not empty and in alphabetical order; the place of a query is its code.
        emptied: the number of distinct queries that cleaning leaves empty.
    """

    def __init__(self, engine: Engine, tables: list[ir.Table]) -> None:
        raw = engine.fetch(ibis.union(*(table.select("query") for table in tables), distinct=True))["query"].cast(
            pa.string()
        )
        cleaned = _cleaned(raw)
        distinct = pc.unique(cleaned)
        distinct = distinct.filter(pc.not_equal(distinct, ""))
        # Arrow orders strings by their bytes in UTF-8, which is the order of their characters.
        self.cleaned: pa.Array = distinct.take(pc.sort_indices(distinct))
        codes = pc.index_in(cleaned, value_set=self.cleaned).cast(pa.int64())
        known = codes.is_valid()
        self.emptied = len(raw) - pc.sum(known).as_py() if len(raw) else 0
        self._codes = engine.load(pa.table({"query": raw.filter(known), "code": codes.filter(known)}))

    def coded(self, table: ir.Table) -> ir.Table:
        """Return the rows whose query is not empty after cleaning, with its code in place of the query."""
        return table.inner_join(self._codes, "query").drop("query").rename(query="code")


def _cleaned(raw: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the strings after cleaning; some of them at a time are Python strings."""
    parts = [
        pa.array([clean_query(query) for query in raw.slice(start, _QUERIES_AT_ONCE).to_pylist()], pa.string())
        for start in range(0, len(raw), _QUERIES_AT_ONCE)
    ]
    return pa.chunked_array(parts, pa.string())


def _numbered(table: ir.Table, key: str, name: str) -> ir.Table:
    """Add the place of every key in alphabetical order, from 0."""
    return table.mutate(**{name: ibis.row_number().over(order_by=key)})


def _impressions(shown: ir.Table, videos: ir.Table, users: ir.Table) -> ir.Table:
    coded = shown.inner_join(videos.select("photo_id", "photo"), "photo_id").inner_join(users, "user_id")
    return coded.select("impression_id", "day", "ts", "user", "photo")


def _events(clicks: ir.Table, searches: ir.Table, impressions: ir.Table, videos: ir.Table, users: ir.Table) -> ir.Table:
    """Return bar clicks and searches in one table."""
    watched = impressions.select("impression_id", "ts", "user", "photo")
    clicked = clicks.inner_join(watched, "impression_id").select(
        "day",
        "ts",
        "user",
        "photo",
        "query",
        "engaged",
        event_id=lambda row: ibis.literal("bar:") + row.impression_id + ":" + row.position.cast("string"),
        source=ibis.literal("bar"),
    )
    own = searches.filter(searches.source != "bar").inner_join(users, "user_id")
    own = own.left_join(videos.select("photo_id", "photo"), "photo_id").select(
        "day",
        "ts",
        "user",
        "query",
        "source",
        photo=lambda row: row.photo.fill_null(-1),
        engaged=lambda row: row.item_clicks > 0,
        event_id=lambda row: ibis.literal("search:") + row.search_id,
    )
    columns = ("event_id", "day", "ts", "user", "photo", "query", "source", "engaged")
    return clicked.select(*columns).union(own.select(*columns))


def caused_by_video(events: ir.Table) -> ir.Table:
    """Return the events that a known video caused."""
    return events.filter(events.source.isin(FROM_VIDEO), events.photo >= 0)


def _issued_by_day(events: ir.Table) -> ir.Table:
    caused = caused_by_video(events)
    return caused.group_by("day", "photo", "query").agg(times=caused.count(), latest=caused.ts.max())


def _asked_by_day(events: ir.Table) -> ir.Table:
    return events.group_by("day", "user", "query").agg(latest=events.ts.max())


def _searches_by_day(searches: ir.Table) -> ir.Table:
    return searches.group_by("day", "query").agg(searched=searches.count(), clicked=(searches.item_clicks > 0).sum())


def _reviews(engine: Engine, reviews: ir.Table, videos: ir.Table) -> Reviews:
    coded = reviews.inner_join(videos.select("photo_id", "photo"), "photo_id")
    found = engine.fetch(coded.select("day", "photo", "verdict").order_by("photo"))
    return Reviews(
        np.asarray(found["day"].to_numpy(), np.int64),
        np.asarray(found["photo"].to_numpy(), np.int64),
        np.asarray(pc.equal(found["verdict"], "unsafe").to_numpy(), bool),
    )
