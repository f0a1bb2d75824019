"""The importer of docs/examples makes sound log tables of rows in the form of KuaiSearch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from offline.evidence.histories import HistorySettings, histories_as_of
from offline.logs.coded import load_logs
from offline.logs.intake import IntakeSettings

SCRIPT = Path(__file__).resolve().parents[4] / "docs" / "examples" / "import_kuaisearch.py"


def item(number: int, title: str, category: str = "家纺") -> dict[str, Any]:
    return {"item_id": number, "item_title": title, "seller_id": 7, "category_level1_name": category}


def shown(time: int, query: str, number: int, *, clicked: int = 0, purchased: int = 0) -> dict[str, Any]:
    return {
        "user_id": 1,
        "session_id": 9,
        "time_index": time,
        "query": query,
        "target_item_id": number,
        "target_item_price": 25.0,
        "is_clicked": clicked,
        "is_purchased": purchased,
    }


def test_searches_clicks_and_views_of_items_are_filled_and_the_rest_is_empty(tmp_path: Path) -> None:
    rows = {
        "items": [item(3, "床边地毯", "UNKNOWN"), item(4, "防滑地垫")],
        "users": [{"user_id": 1}, {"user_id": 2}],
        "rank": [
            shown(100, "地毯", 3, clicked=1),
            shown(100, "地毯", 4),
            shown(160, "防滑 地垫", 4, clicked=1, purchased=1),
            shown(90_000, "地毯", 5),
        ],
    }
    for name, lines in rows.items():
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (tmp_path / f"{name}.jsonl").write_text(text, encoding="utf-8")
    subprocess.run([sys.executable, SCRIPT, tmp_path, tmp_path / "logs"], check=True, capture_output=True)

    logs = load_logs(tmp_path / "logs", settings=IntakeSettings(max_bad_share=0.0))
    assert logs.videos.select(["photo_id", "item_title", "category"]).to_pylist() == [
        {"photo_id": "3", "item_title": "床边地毯", "category": None},
        {"photo_id": "4", "item_title": "防滑地垫", "category": "家纺"},
        {"photo_id": "5", "item_title": None, "category": None},
    ]
    events = logs.engine.fetch(logs.events.order_by("ts")).to_pylist()
    queries = logs.queries.to_pylist()
    assert [(event["day"], event["source"], event["photo"], queries[event["query"]]) for event in events] == [
        (0, "search_box", -1, "地毯"),
        (0, "post_video", 0, "防滑 地垫"),
        (1, "post_video", 1, "地毯"),
    ]
    histories = histories_as_of(logs, 1, HistorySettings(), logs.queries.to_numpy(zero_copy_only=False) != "")
    assert histories.to_strings(logs.queries).to_pylist() == [["防滑 地垫"], [], []]
    assert logs.counts["search_clicks"].rows == logs.counts["impressions"].rows == 2
    assert logs.counts["exposures"].rows == logs.counts["reviews"].rows == 0
