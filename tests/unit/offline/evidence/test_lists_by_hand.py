"""The lists of a small simulated world equal those of plain loops over its rows.

The loops read the tables themselves. Only item-search intent, anchors, histories and unsafe videos come from the
same code.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from cli.main import main
from demo.world.build import build_world
from demo.world.spec import WorldSpec
from evidence.cleaning import clean_query
from offline.evidence.behaviour_lists import LIST_SCHEMA
from offline.evidence.embedded_logs import EmbeddedLogs, embed_logs
from offline.evidence.examples import ExampleSettings, write_examples
from offline.evidence.list_candidates import ListSettings
from offline.evidence.query_records import POSITION_STRENGTH
from offline.evidence.safety_labels import label_videos, read_terms
from offline.logs.tables import read_table

TRAIN_DAY, VALID_DAY = 1, 2
SPEC = WorldSpec(seed=7, videos=200, users=50, days=4, impressions_per_day=400, departments=("kitchen",))
Lists = dict[tuple[int, str, str], list[tuple[int, str]]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    build_world(folder, SPEC)
    return folder


@pytest.fixture(scope="module")
def embedded(world: Path) -> EmbeddedLogs:
    return embed_logs(world)


@pytest.fixture(scope="module")
def written(world: Path) -> Path:
    """The folder that the command writes."""
    result = CliRunner().invoke(main, ["offline", "lists", str(world), str(world / "lists")])
    assert result.exit_code == 0, result.output
    return world / "lists"


def rows_of(folder: Path, split: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(folder / f"lists_{split}.parquet").to_pylist()
    return rows


def test_the_lists_equal_those_of_plain_loops(world: Path, embedded: EmbeddedLogs, written: Path) -> None:
    shop = PlainShop(world, embedded)
    for split, day in (("train", TRAIN_DAY), ("valid", VALID_DAY)):
        found = {
            (row["day"], row["photo_id"], row["user_id"]): list(zip(row["levels"], row["queries"], strict=True))
            for row in rows_of(written, split)
        }
        expected = shop.lists_of(day, known_before=day + 1)
        assert len(expected) > 50
        assert found == expected


def test_lists_have_the_evidence_of_the_examples(world: Path, embedded: EmbeddedLogs, written: Path) -> None:
    """For each list and query of its viewer there is an example with the same evidence and this target."""
    write_examples(
        embedded, label_videos(embedded.logs, read_terms(world, None)), ExampleSettings(), world / "examples"
    )
    columns = [name for name in LIST_SCHEMA.names if name not in ("queries", "levels")]
    for split in ("train", "valid"):
        examples = pq.read_table(world / "examples" / f"examples_{split}.parquet").to_pylist()
        known = {(str([row[name] for name in columns]), row["target"]) for row in examples}
        for row in rows_of(written, split):
            own = [query for query, level in zip(row["queries"], row["levels"], strict=True) if level <= 2]
            assert own
            assert {(str([row[name] for name in columns]), query) for query in own} <= known


def test_the_report_accounts_for_every_viewing_and_candidate(written: Path) -> None:
    report = json.loads((written / "lists_report.json").read_text())
    assert report["settings"]["lists"] == asdict(ListSettings())
    for name, split in report["splits"].items():
        rows = rows_of(written, name)
        assert split["lists"] == len(rows) == sum(split["lengths"].values())
        assert split["viewings"] == sum(
            split[reason] for reason in ("on_unsafe_videos", "without_intent", "of_one_query", "lists")
        )
        found = split["candidates"]
        removed = sum(sum(found[reason].values()) for reason in ("contradicting", "not_the_best"))
        assert sum(found["candidates"].values()) == found["repeated"] + removed + sum(found["chosen"].values())
        assert sum(found["chosen"].values()) == sum(split["levels"].values()) + split["of_one_query"]
        assert sum(split["levels"].values()) == sum(len(row["queries"]) for row in rows)


class PlainShop:
    """The rows of a world, and lists made from them one by one."""

    def __init__(self, folder: Path, embedded: EmbeddedLogs) -> None:
        self.embedded, logs = embedded, embedded.logs
        watched = {row["impression_id"]: row for row in read_table(folder, "impressions").to_pylist()}
        self.exposures = [
            {**watched[row["impression_id"]], **row, "query": clean_query(row["query"])}
            for row in read_table(folder, "exposures").to_pylist()
        ]
        self.issued = [row for row in self.exposures if row["clicked"] and row["position"]]
        self.issued += [
            {**row, "query": clean_query(row["query"]), "engaged": row["item_clicks"] > 0}
            for row in read_table(folder, "searches").to_pylist()
            if row["source"] == "post_video" and row["photo_id"] is not None
        ]
        intent = embedded.has_intent(VALID_DAY)
        self.intended = {query for query, has in zip(logs.queries.to_pylist(), intent, strict=True) if has}
        self.photos = logs.videos["photo_id"].to_pylist()
        self.labels = label_videos(logs, read_terms(folder, None))

        shown, clicked = defaultdict[int, int](int), defaultdict[int, int](int)
        for row in self.exposures:
            if row["position"] and row["day"] < VALID_DAY:
                shown[row["position"]] += 1
                clicked[row["position"]] += row["clicked"]
        mean = sum(clicked.values()) / sum(shown.values())
        self.parts = {
            position: round(
                1000 * (clicked[position] + POSITION_STRENGTH * mean) / (shown[position] + POSITION_STRENGTH) / mean
            )
            for position in shown
        }

    def lists_of(self, day: int, known_before: int) -> Lists:
        """Return the lists of a day."""
        settings = ListSettings()
        past = [row for row in self.exposures if day - settings.window_days <= row["day"] <= day]
        issued = [row for row in self.issued if day - settings.window_days <= row["day"] <= day]
        clicked, exposed = defaultdict[Any, int](int), defaultdict[Any, int](int)
        shown, times = defaultdict[Any, int](int), defaultdict[Any, int](int)
        for row in past:
            if row["position"]:
                for key in ((row["photo_id"], row["query"]), row["query"], ""):
                    clicked[key] += row["clicked"]
                    exposed[key] += self.parts[row["position"]]
                shown[row["photo_id"], row["query"]] += 1
        for row in issued:
            times[row["photo_id"], row["query"]] += 1

        def smoothed(key: Any, prior: float) -> float:
            return (clicked[key] + settings.strength * prior) / (exposed[key] / 1000 + settings.strength)

        def ctr(photo: str, query: str) -> float:
            return smoothed((photo, query), smoothed(query, clicked[""] * 1000 / exposed[""]))

        levels: dict[str, dict[str, int]] = defaultdict(dict)
        anchors, histories = self.embedded.collaborative(np.arange(len(self.photos)), day)
        for ranked in (anchors, histories):
            for photo, queries in zip(self.photos, ranked.to_strings(self.embedded.logs.queries), strict=True):
                levels[photo].update(dict.fromkeys(queries.as_py(), 6))
        levels_of_rows = [(row, 5 if row["position"] else 6) for row in past]
        levels_of_rows += [(row, 3 if row["engaged"] else 4) for row in issued]
        for row, level in levels_of_rows:
            of_video = levels[row["photo_id"]]
            of_video[row["query"]] = min(level, of_video.get(row["query"], 6))

        own: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
        unsafe = dict(zip(self.photos, self.labels.known(known_before), strict=True))
        for row in issued:
            if row["day"] == day and row["query"] in self.intended and not unsafe[row["photo_id"]]:
                mine = own[row["photo_id"], row["user_id"]]
                mine[row["query"]] = min(1 if row["engaged"] else 2, mine.get(row["query"], 2))

        lists: Lists = {}
        for (photo, user), mine in own.items():
            usable = {q: level for q, level in levels[photo].items() if level > 4 or q in self.intended}
            rows = [
                (level, -ctr(photo, q), -shown[photo, q] - times[photo, q], q) for q, level in (usable | mine).items()
            ]
            kept: list[tuple[int, str]] = []
            lowest = math.inf
            for level, negative_ctr, _, query in sorted(rows):
                often = shown[photo, query] >= settings.min_exposures
                if any(level == other for other, _ in kept) or (often and -negative_ctr > lowest):
                    continue
                kept.append((level, query))
                lowest = -negative_ctr if often else lowest
            if len(kept) > 1:
                lists[day, photo, user] = kept
        return lists
