"""The candidates of behaviour lists: the queries of a video on a day with their levels (paper, Table 2).

A level is decided by what was known at the end of the list's day:

    1  issued on the video by the viewer on this day, with engagement
    2  issued on the video by the viewer on this day
    3  issued on the video with engagement, by others or earlier
    4  issued on the video, by others or earlier
    5  exposed on the video, never issued there
    6  retrieved for the video, never exposed there: its anchors, its histories, and unexposed rows of the logs

Issued means clicked in the bar, or searched right after watching, as for the positives of the examples. The engagement
of a click is the column `engaged`; a search has it when an item was clicked. Queries that were issued on the video but
have no item-search intent are no candidates: they are no positives, and a query that viewers used is no negative.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import ibis
import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from offline.arrays import BoolArray, IntArray
from offline.evidence.query_records import QueryRecords
from offline.evidence.ranked import offsets_of, positions_within
from offline.evidence.ranked_tables import without

Doubles = npt.NDArray[np.float64]


class Level(IntEnum):
    """The six levels of behaviour, 1 the best. Those up to CROWD_CLICKED are clicked ones."""

    OWN_ENGAGED = 1
    OWN_CLICKED = 2
    CROWD_ENGAGED = 3
    CROWD_CLICKED = 4
    EXPOSED = 5
    RETRIEVED = 6


@dataclass(frozen=True, slots=True)
class ListSettings:
    """Which behaviour lists are made.

    Attributes:
        first_day: the first day with lists; earlier days are only the past of later ones.
        window_days: the days before a list's day whose behaviour counts, besides that of the day itself; not fewer than
            the histories have, or a history would count as retrieved only.
        strength: a, the exposures that the CTR of a query on all videos weighs as much as, in its CTR on one video.
        min_exposures: only a candidate that was exposed this often on the video can contradict the order of levels.
        pool: the most candidates of a video and crowd level (3 to 6) that are read, those with the highest CTR.
    """

    first_day: int = 1
    window_days: int = 14
    strength: float = 20.0
    min_exposures: int = 10
    pool: int = 50


@dataclass(frozen=True, slots=True)
class Candidates:
    """Candidates of lists; all arrays have the same length.

    Attributes:
        owner: int64, the place of the list, or of the video before lists are expanded; ascending.
        query: int64, codes of QueryRecords.
        level: int64, 1 to 6.
        ctr: float64, the smoothed CTR of the query on the video.
        count: int64, exposures, clicks and searches of the query on the video.
        shown: int64, exposures of the query on the video.
    """

    owner: IntArray
    query: IntArray
    level: IntArray
    ctr: Doubles
    count: IntArray
    shown: IntArray

    def take(self, rows: IntArray | BoolArray, owner: IntArray | None = None) -> Candidates:
        """Return these rows, with other owners if given."""
        owner = self.owner[rows] if owner is None else owner
        return Candidates(owner, self.query[rows], self.level[rows], self.ctr[rows], self.count[rows], self.shown[rows])


@dataclass(frozen=True, slots=True)
class DayCandidates:
    """The lists of a day and all that may enter them.

    Attributes:
        photo: int64[lists], the video of each list.
        user: int64[lists], its viewer.
        own: candidates of levels 1 and 2; the owners are lists.
        crowd: candidates of levels 3 to 6; the owners are places in `photos`.
        photos: int64[p], the videos of the day in ascending order.
        beyond_pool: the number of crowd candidates that were not read.
    """

    photo: IntArray
    user: IntArray
    own: Candidates
    crowd: Candidates
    photos: IntArray
    beyond_pool: int

    def of_lists(self, first: int, end: int) -> Candidates:
        """Return the candidates of the lists from `first` up to `end`; the owners count from `first`."""
        own = np.arange(*np.searchsorted(self.own.owner, [first, end]))
        starts = offsets_of(np.bincount(self.crowd.owner, minlength=len(self.photos)))
        place = np.searchsorted(self.photos, self.photo[first:end])
        lengths = np.diff(starts)[place]
        rows = positions_within(offsets_of(lengths)) + np.repeat(starts[place], lengths)
        parts = (
            self.own.take(own, self.own.owner[own] - first),
            self.crowd.take(rows, np.repeat(np.arange(end - first), lengths)),
        )
        names = ("owner", "query", "level", "ctr", "count", "shown")
        return Candidates(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def own_queries(records: QueryRecords, day: int) -> pa.Table:
    """Return what each viewer issued on a video on a day: `photo`, `user`, `query`, `engaged`, in this order."""
    events = records.events.filter(records.events.day == day)
    own = events.group_by("photo", "user", "query").agg(engaged=events.engaged.any())
    return records.engine.fetch(own.order_by("photo", "user", "query"))


def candidates_of_day(
    records: QueryRecords,
    day: int,
    own: pa.Table,
    retrieved: tuple[IntArray, IntArray],
    has_intent: BoolArray,
    settings: ListSettings,
) -> DayCandidates:
    """Return the lists of a day and their candidates.

    Args:
        records: what viewers did with queries on videos.
        day: the day of the lists; nothing later is read.
        own: the rows of `own_queries` that are positives; there is one list for each video and viewer in them.
        retrieved: videos and queries of the anchors and histories of the day, in pairs.
        has_intent: bool[queries of the records].
        settings: which lists are made.
    """
    engine = records.engine
    pairs = pa.table({"photo": pa.array(retrieved[0], pa.int64()), "query": pa.array(retrieved[1], pa.int64())})
    scored = records.with_ctr(day - settings.window_days, day, settings.strength, pairs)
    scored = engine.name(scored.mutate(count=scored.shown + scored.issued))

    mine = engine.load(own)
    found = engine.fetch(
        mine.inner_join(scored.drop("engaged"), ["photo", "query"])
        .select("photo", "user", "query", "engaged", "ctr", "count", "shown")
        .order_by("photo", "user", "query")
    )
    photo, user = _whole(found, "photo"), _whole(found, "user")
    begins = np.ones(len(photo), bool)
    begins[1:] = (photo[1:] != photo[:-1]) | (user[1:] != user[:-1])
    level = np.where(found["engaged"].to_numpy(), Level.OWN_ENGAGED, Level.OWN_CLICKED)
    own_candidates = _candidates(found, np.cumsum(begins) - 1, level)

    photos = np.unique(photo)
    read = _best_of_level(scored, records, photos, has_intent)
    rows = engine.fetch(read.filter(read.place < settings.pool).order_by("photo", "level", "place"))
    beyond = np.maximum(_whole(rows, "of_level")[_whole(rows, "place") == 0] - settings.pool, 0).sum()
    crowd = _candidates(rows, np.searchsorted(photos, _whole(rows, "photo")), _whole(rows, "level"))
    return DayCandidates(photo[begins], user[begins], own_candidates, crowd, photos, int(beyond))


def _best_of_level(scored: ir.Table, records: QueryRecords, photos: IntArray, has_intent: BoolArray) -> ir.Table:
    """Return the crowd's candidates with `level`, `place` in it (from 0, by CTR) and `of_level`, their number."""
    wanted = records.engine.load(pa.table({"photo": pa.array(photos, pa.int64())}))
    here = scored.semi_join(wanted, "photo")
    issued = without(records.engine, here.filter(here.issued > 0), ~has_intent)
    rows = issued.union(here.filter(here.issued == 0))
    level = ibis.cases(
        (rows.engaged > 0, int(Level.CROWD_ENGAGED)),
        (rows.issued > 0, int(Level.CROWD_CLICKED)),
        (rows.shown > 0, int(Level.EXPOSED)),
        else_=int(Level.RETRIEVED),
    )
    rows = rows.mutate(level=level)
    order = [ibis.desc("ctr"), ibis.desc("count"), ibis.asc("query")]
    return rows.mutate(
        place=ibis.row_number().over(group_by=["photo", "level"], order_by=order),
        of_level=rows.count().over(group_by=["photo", "level"]),
    )


def _candidates(rows: pa.Table, owner: IntArray, level: IntArray) -> Candidates:
    return Candidates(
        owner,
        _whole(rows, "query"),
        level.astype(np.int64),
        np.asarray(rows["ctr"].to_numpy(), np.float64),
        _whole(rows, "count"),
        _whole(rows, "shown"),
    )


def _whole(rows: pa.Table, name: str) -> IntArray:
    return np.asarray(rows[name].to_numpy(), np.int64)
