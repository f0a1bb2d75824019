"""Small log tables: some written by hand, some drawn at random with a fixed seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from offline.evidence.embedded_logs import EmbeddedLogs, embed_logs
from offline.logs.schema import TABLES
from offline.logs.tables import write_table

DAY_MS = 86_400_000
START_MS = 1_700_006_400_000  # a midnight, UTC

DEFAULTS: dict[str, dict[str, Any]] = {
    "videos": {"created_day": 0, "author_id": "a"},
    "users": {"activity": 2},
    "impressions": {},
    "exposures": {"position": 1, "policy": "popular", "clicked": False, "engaged": False, "order_value": 0.0},
    "searches": {"item_clicks": 1, "order_value": 0.0},
    "search_clicks": {},
    "reviews": {"verdict": "safe"},
}


def write_rows(dataset: Path, **tables: list[dict[str, Any]]) -> Path:
    """Write a dataset of these rows; missing values take a default, and times follow days."""
    for name, spec in TABLES.items():
        rows = [{**DEFAULTS[name], **row} for row in tables.get(name, [])]
        for place, row in enumerate(rows):
            if "ts" in spec.schema.names:
                row.setdefault("ts", START_MS + row["day"] * DAY_MS + place * 1000)
        columns = {field.name: [row.get(field.name) for row in rows] for field in spec.schema}
        arrays = {field.name: pa.array(columns[field.name], field.type) for field in spec.schema}
        write_table(dataset, name, arrays)
    return dataset


@pytest.fixture
def dataset(tmp_path: Path) -> Callable[..., Path]:
    """Write log tables into a temporary folder, `logs` by default, and return it."""

    def write(folder: str = "logs", **tables: list[dict[str, Any]]) -> Path:
        return write_rows(tmp_path / folder, **tables)

    return write


@pytest.fixture(scope="session")
def busy_rows() -> dict[str, list[dict[str, Any]]]:
    """Six days of a small shop: 40 videos of 8 topics, 15 users, noisy clicks and searches, some unsafe videos."""
    generator = np.random.default_rng(7)
    topics = [
        "steel kettle",
        "road bike",
        "face cream",
        "gaming mouse",
        "yoga mat",
        "desk lamp",
        "dog leash",
        "air fryer",
    ]
    tails = ["", " price", " for sale", " review", " small", " red"]
    videos = [
        {
            "photo_id": f"p{i}",
            "created_day": int(generator.integers(0, 6)) if i > 10 else 0,
            "caption": f"Look at this {topics[i % 8]} number {i}" if i % 5 else None,
            "summary": f"This video shows a {topics[i % 8]}, close up" if i % 3 else None,
            "item_title": "Contraband pills" if i in (13, 21) else None,
        }
        for i in range(40)
    ]
    impressions, exposures, searches = [], [], []
    for number in range(900):
        day, video = int(generator.integers(0, 6)), int(generator.integers(0, 40))
        if videos[video]["created_day"] > day:
            continue
        impression = {
            "impression_id": f"i{number}",
            "day": day,
            "user_id": f"u{generator.integers(0, 15)}",
            "photo_id": f"p{video}",
            "ts": START_MS + day * DAY_MS + number * 1000,
        }
        impressions.append(impression)
        for position in (1, 2):
            tail = tails[(position + int(generator.integers(0, 3))) % 6]
            exposures.append(
                {
                    "impression_id": f"i{number}",
                    "day": day,
                    "position": position,
                    "query": f"{topics[video % 8]}{tail}" if position == 1 else f"{topics[(video + 1) % 8]}{tail}",
                    "clicked": bool(generator.random() < 0.3),
                }
            )
        if generator.random() < 0.4:
            source = ["post_video", "search_box", "reformulation", "bar"][int(generator.integers(0, 4))]
            searches.append(
                {
                    "search_id": f"s{number}",
                    "day": day,
                    "ts": impression["ts"] + 500,
                    "user_id": impression["user_id"],
                    "query": f"{topics[video % 8]}{tails[int(generator.integers(0, 6))]}",
                    "source": source,
                    "photo_id": f"p{video}" if source in ("post_video", "bar") else None,
                    "item_clicks": int(generator.integers(0, 3)),
                }
            )
    return {
        "videos": videos,
        "users": [{"user_id": f"u{i}"} for i in range(15)],
        "impressions": impressions,
        "exposures": exposures,
        "searches": searches,
        "reviews": [
            {"photo_id": "p5", "day": 2, "verdict": "unsafe", "policy_category": "fraud"},
            {"photo_id": "p6", "day": 5, "verdict": "unsafe", "policy_category": "fraud"},
            {"photo_id": "p7", "day": 1},
        ],
    }


@pytest.fixture(scope="session")
def clicked_rows(busy_rows: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """The busy shop; each query of its searches led to five videos of its topic."""
    clicks = [
        {"search_id": row["search_id"], "day": row["day"], "query": row["query"], "photo_id": video["photo_id"]}
        for row in busy_rows["searches"]
        for video in busy_rows["videos"]
        if " ".join(row["query"].split()[:2]) in (video["caption"] or "")
    ]
    return {**busy_rows, "search_clicks": clicks}


@pytest.fixture(scope="session")
def busy_dataset(tmp_path_factory: pytest.TempPathFactory, busy_rows: dict[str, list[dict[str, Any]]]) -> Path:
    """The busy shop as a dataset folder, with a list of prohibited terms."""
    folder = write_rows(tmp_path_factory.mktemp("shop") / "busy", **busy_rows)
    (folder / "prohibited_terms.tsv").write_text("drugs\tcontraband pills\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def busy_logs(busy_dataset: Path) -> EmbeddedLogs:
    """The busy shop, read and embedded."""
    return embed_logs(busy_dataset)
