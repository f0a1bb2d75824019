"""Ranking the queries of many owners in the engine; the ranked lists come back as arrays."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from offline.arrays import BoolArray
from offline.evidence.ranked import RankedQueries, offsets_of
from offline.logs.engine import Engine


def first_of_each(rows: ir.Table, owner: str, limit: int) -> ir.Table:
    """Return the first `limit` rows of each owner: heaviest first, then latest, then in alphabetical order.

    Args:
        rows: one row for each owner and query: the owner, `query`, `weight` and `latest`.
        owner: the column of the owner.
        limit: the most rows kept for an owner.

    Returns:
        The columns `owner`, `place` (from 0), `query` and `weight`.
    """
    order = [ibis.desc("weight"), ibis.desc("latest"), ibis.asc("query")]
    ranked = rows.mutate(place=ibis.row_number().over(group_by=owner, order_by=order), owner=rows[owner])
    return ranked.filter(ranked.place < limit).select("owner", "place", "query", "weight")


def without(engine: Engine, rows: ir.Table, excluded: BoolArray) -> ir.Table:
    """Return the rows whose `query` is not excluded.

    Args:
        engine: the engine of the rows.
        rows: a table with the column `query`.
        excluded: bool[queries].
    """
    if not excluded.any():
        return rows
    codes = engine.load(pa.table({"query": pa.array(np.flatnonzero(excluded), pa.int64())}))
    return rows.anti_join(codes, "query")


def collect(engine: Engine, ranked: ir.Table, num_owners: int) -> RankedQueries:
    """Return what `first_of_each` ranked, as arrays; an owner without rows has an empty list."""
    rows = engine.fetch(ranked.order_by("owner", "place"))
    owners = np.asarray(rows["owner"].to_numpy(), np.int64)
    return RankedQueries(
        offsets_of(np.bincount(owners, minlength=num_owners)),
        np.asarray(rows["query"].to_numpy(), np.int64),
        np.asarray(rows["weight"].to_numpy(), np.float32),
    )
