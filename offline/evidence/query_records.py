"""How queries did on videos: exposures, clicks and searches by day, and the historical CTR made from them.

The CTR of a query on a video is smoothed towards the CTR of the query on all videos, and that towards the CTR of all:

    ctr(v, q) = (clicks(v, q) + a * ctr(q)) / (exposures(v, q) + a)
    ctr(q)    = (clicks(q) + a * ctr) / (exposures(q) + a)

with a the strength of the smoothing. Only the bar counts. Exposures are corrected for the position: one at a position
that is clicked twice as often as the average counts as two. They are whole thousandths, so that sums do not depend on
the order of the rows, nor on the engine.
"""

from __future__ import annotations

from dataclasses import dataclass

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from offline.arrays import IntArray
from offline.logs.coded import Logs, Vocabulary, caused_by_video
from offline.logs.engine import Engine

POSITION_STRENGTH = 1_000
"""Exposures that the average CTR weighs as much as, when the CTR of a position is estimated."""

_PARTS = 1_000
_SUMS = ("shown", "parts", "clicked", "issued", "engaged")


@dataclass(frozen=True, slots=True)
class QueryRecords:
    """What viewers did with queries on videos.

    Attributes:
        engine: the engine that holds the tables.
        queries: cleaned and in alphabetical order: those of the logs, and those that were only shown or retrieved.
        codes: int64[queries of the logs], their codes here.
        events: queries that videos caused: `day`, `photo`, `user`, `query`, `engaged`.
        by_day: `day`, `photo`, `query`, and how many exposures (`shown`; 0: retrieved only), thousandths of exposures
            corrected for the position (`parts`), bar clicks (`clicked`), bar clicks and searches (`issued`), and those
            of them with engagement (`engaged`).
    """

    engine: Engine
    queries: pa.Array
    codes: IntArray
    events: ir.Table
    by_day: ir.Table

    def with_ctr(self, first_day: int, last_day: int, strength: float, retrieved: pa.Table) -> ir.Table:
        """Return the queries of every video in a range of days, with their historical CTR.

        Args:
            first_day: the first day that counts.
            last_day: the last day that counts.
            strength: exposures that the CTR of the query on all videos weighs as much as.
            retrieved: further queries of videos, which need not have been exposed: `photo`, `query`.

        Returns:
            `photo`, `query`, `shown`, `issued`, `engaged` and `ctr`.
        """
        days = self.by_day.filter(self.by_day.day >= first_day, self.by_day.day <= last_day)
        further = self.engine.load(retrieved).mutate(**{name: ibis.literal(0, "int64") for name in _SUMS})
        rows = days.select("photo", "query", *_SUMS).union(further.select("photo", "query", *_SUMS))
        pairs = rows.group_by("photo", "query").agg(**{name: rows[name].sum() for name in _SUMS})
        # The average comes from the engine: as a number in the expression it would become a decimal there.
        clicked, parts = days.clicked.sum().fill_null(0), ibis.greatest(days.parts.sum().fill_null(0), 1)
        average = days.agg(average=clicked.cast("float64") * ibis.literal(float(_PARTS)) / parts.cast("float64"))
        totals = pairs.group_by("query").agg(all_clicked=pairs.clicked.sum(), all_parts=pairs.parts.sum())
        totals = totals.cross_join(average)
        of_query = _smoothed(totals.all_clicked, totals.all_parts, strength, totals.average)
        pairs = pairs.inner_join(totals.select("query", of_query=of_query), "query")
        ctr = _smoothed(pairs.clicked, pairs.parts, strength, pairs.of_query)
        return pairs.mutate(ctr=ctr).select("photo", "query", "shown", "issued", "engaged", "ctr")


def _smoothed(clicked: ir.Column, parts: ir.Column, strength: float, prior: ir.Value) -> ir.Column:
    weight = ibis.literal(float(strength))
    exposures = parts.cast("float64") / ibis.literal(float(_PARTS))
    return (clicked.cast("float64") + weight * prior) / (exposures + weight)


def query_records(logs: Logs, positions_before: int) -> QueryRecords:
    """Count what viewers did with queries on videos, by day.

    Args:
        logs: the log tables.
        positions_before: only exposures of the days before it say how often a position is clicked.
    """
    engine = logs.engine
    exposed = logs.tables["exposures"]
    vocabulary = Vocabulary(engine, [exposed, logs.tables["searches"]])
    codes = np.asarray(pc.index_in(logs.queries, vocabulary.cleaned).to_numpy(), np.int64)
    recoded = engine.load(pa.table({"query": pa.array(range(len(codes)), pa.int64()), "code": pa.array(codes)}))

    caused = caused_by_video(logs.events).inner_join(recoded, "query").drop("query").rename(query="code")
    events = engine.keep(caused.select("day", "photo", "user", "query", "engaged"))
    watched = logs.impressions.select("impression_id", "photo")
    exposures = vocabulary.coded(exposed).inner_join(watched, "impression_id")
    exposures = exposures.select(
        "day", "photo", "query", "position", clicked=(exposures.clicked & (exposures.position > 0)).cast("int64")
    )
    shown = _counted(exposures, _parts_of_positions(engine, exposures, positions_before))
    issued = events.select(
        "day",
        "photo",
        "query",
        shown=ibis.literal(0, "int64"),
        parts=ibis.literal(0, "int64"),
        clicked=ibis.literal(0, "int64"),
        issued=ibis.literal(1, "int64"),
        engaged=events.engaged.cast("int64"),
    )
    rows = shown.union(issued)
    # Spark codes videos in 32 bits, and the tables that are joined later have 64.
    rows = rows.mutate(photo=rows.photo.cast("int64"))
    by_day = rows.group_by("day", "photo", "query").agg(**{name: rows[name].sum() for name in _SUMS})
    return QueryRecords(engine, vocabulary.cleaned, codes, events, engine.keep(by_day))


def _counted(exposures: ir.Table, parts: ir.Table) -> ir.Table:
    """Return the exposures with the columns of `by_day`."""
    rows = exposures.inner_join(parts, "position")
    return rows.select(
        "day",
        "photo",
        "query",
        shown=(rows.position > 0).cast("int64"),
        parts=rows.parts,
        clicked=rows.clicked,
        issued=ibis.literal(0, "int64"),
        engaged=ibis.literal(0, "int64"),
    )


def _parts_of_positions(engine: Engine, exposures: ir.Table, before_day: int) -> ir.Table:
    """Return what an exposure at each position counts, in thousandths: its CTR over the average CTR."""
    early = (exposures.day < before_day).cast("int64")
    counts = engine.fetch(
        exposures.group_by("position")
        .agg(shown=early.sum(), clicked=(early * exposures.clicked).sum())
        .order_by("position")
    )
    position = np.asarray(counts["position"].to_numpy(), np.int64)
    shown = np.where(position > 0, counts["shown"].to_numpy(), 0)
    clicked = counts["clicked"].to_numpy()
    mean = clicked.sum() / max(shown.sum(), 1)
    ctr = (clicked + POSITION_STRENGTH * mean) / (shown + POSITION_STRENGTH)
    relative = np.divide(ctr, mean, out=np.ones(len(ctr)), where=mean > 0)
    parts = np.where(position > 0, np.rint(_PARTS * relative), 0).astype(np.int64)
    return engine.load(pa.table({"position": counts["position"], "parts": pa.array(parts)}))
