"""What measuring reads from the log tables of a shop: categories, activity, click rates, and safety labels.

Only Parquet tables in a local folder are read, each a file or a folder of files (docs/data_formats.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evaluation.inputs import read_parquet
from evaluation.metrics import normal_form
from evidence.safety import ProhibitedTerms
from evidence.term_list import load_terms

_IDS = ("photo_id", "user_id")
_FIX = "log tables come from your platform (docs/own_logs.md), or from a simulated shop: `onebar world`"

RATE_STRENGTH = 20.0
"""Expected clicks that the average rate weighs as much as, in the click rate of a query."""


@dataclass(frozen=True, slots=True)
class ClickRates:
    """How often queries were clicked in the bar, relative to the average query at the same positions.

    Attributes:
        relative: by normal form, (clicks + a) / (expected clicks + a), with a = RATE_STRENGTH.
    """

    relative: Mapping[str, float]

    def of(self, query: str) -> float:
        """Return the relative click rate of a normal form; 1 for a query that was never shown."""
        return self.relative.get(query, 1.0)


class ShopLogs:
    """The log tables of one shop."""

    def __init__(self, folder: Path) -> None:
        """Keep the folder; tables are read when they are needed."""
        self._folder = folder

    def _path(self, name: str) -> Path:
        file, folder = self._folder / f"{name}.parquet", self._folder / name
        return folder if folder.is_dir() and not file.exists() else file

    def _read(self, name: str, columns: Sequence[str]) -> pa.Table:
        table = read_parquet(self._path(name), columns, fix=_FIX)
        for place, column in enumerate(table.column_names):
            if column in _IDS:  # which a platform may write as numbers, and examples have as texts
                table = table.set_column(place, column, pc.cast(table[column], pa.string()))
        return table

    @cached_property
    def category(self) -> Mapping[str, str]:
        """The category of each video, "" where the table has none."""
        table = self._read("videos", ("photo_id", "category"))
        return {row["photo_id"]: row["category"] or "" for row in table.to_pylist()}

    @cached_property
    def created_day(self) -> Mapping[str, int]:
        """The log day on which each video was made; negative for those before the logs."""
        table = self._read("videos", ("photo_id", "created_day"))
        return dict(zip(table["photo_id"].to_pylist(), table["created_day"].to_pylist(), strict=True))

    @cached_property
    def activity(self) -> Mapping[str, int]:
        """The activity of each viewer, 0 to 4 (U0 to U4 in the paper)."""
        table = self._read("users", ("user_id", "activity"))
        return dict(zip(table["user_id"].to_pylist(), table["activity"].to_pylist(), strict=True))

    @cached_property
    def terms(self) -> ProhibitedTerms:
        """The prohibited terms of the platform, none if the folder has no list."""
        path = self._folder / "prohibited_terms.tsv"
        return ProhibitedTerms(load_terms(path) if path.is_file() else ())

    def reviewed_unsafe(self, before_day: int) -> frozenset[str]:
        """Return the videos that a review before a day called unsafe; none without a table of reviews."""
        if not self._path("reviews").exists():
            return frozenset()
        table = self._read("reviews", ("photo_id", "day", "verdict"))
        table = table.filter(pc.and_(pc.less(table["day"], before_day), pc.equal(table["verdict"], "unsafe")))
        return frozenset(table["photo_id"].to_pylist())

    def click_rates(self, before_day: int) -> ClickRates:
        """Return the click rates of queries on the days before a day, corrected for the position."""
        counts = self._shown_by_day
        counts = counts.filter(pc.less(counts["day"], before_day))
        position = counts["position"].to_numpy()
        shown, clicked = (counts[name].to_numpy().astype(np.float64) for name in ("shown", "clicked_sum"))
        size = int(position.max(initial=0)) + 1
        at_position = np.bincount(position, clicked, size) / np.maximum(np.bincount(position, shown, size), 1)
        expected: dict[str, float] = {}
        clicks: dict[str, float] = {}
        for query, number, times in zip(
            counts["query"].to_pylist(), (shown * at_position[position]).tolist(), clicked.tolist(), strict=True
        ):
            form = normal_form(query)
            expected[form] = expected.get(form, 0.0) + number
            clicks[form] = clicks.get(form, 0.0) + times
        return ClickRates({q: (clicks[q] + RATE_STRENGTH) / (expected[q] + RATE_STRENGTH) for q in expected})

    @cached_property
    def _shown_by_day(self) -> pa.Table:
        """`day`, `query`, `position`, how often it was `shown`, and `clicked_sum`."""
        columns = ("day", "query", "position", "clicked")
        table = self._read("exposures", columns)
        table = table.filter(pc.greater(table["position"], 0))
        table = table.set_column(table.schema.get_field_index("clicked"), "clicked", table["clicked"].cast(pa.int64()))
        grouped = table.group_by(["day", "query", "position"]).aggregate([("clicked", "sum"), ("clicked", "count")])
        return grouped.rename_columns([{"clicked_count": "shown"}.get(name, name) for name in grouped.column_names])
