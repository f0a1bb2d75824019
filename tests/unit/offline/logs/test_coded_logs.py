"""Coding the log tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evidence.cleaning import clean_query
from offline.errors import SettingsError, TableError
from offline.evidence.embedded_logs import EmbeddedLogs
from offline.logs import coded
from offline.logs.coded import Logs, load_logs
from offline.logs.intake import IntakeSettings

VIDEOS = [{"photo_id": "p0"}, {"photo_id": "p1"}]
USERS = [{"user_id": "u0"}]
SEEN = [{"impression_id": "i0", "day": 0, "user_id": "u0", "photo_id": "p1"}]


def events(logs: Logs) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = logs.engine.fetch(logs.events.order_by("event_id")).to_pylist()
    return rows


def test_a_bar_click_is_counted_once(dataset: Callable[..., Path]) -> None:
    """The search that a bar click opens is a row of the searches table too."""
    logs = load_logs(
        dataset(
            videos=VIDEOS,
            users=USERS,
            impressions=SEEN,
            exposures=[{"impression_id": "i0", "day": 0, "query": "bike", "clicked": True}],
            searches=[
                {"search_id": "s0", "day": 0, "user_id": "u0", "query": "bike", "source": "bar", "photo_id": "p1"}
            ],
        )
    )
    assert [(row["event_id"], row["source"], row["photo"]) for row in events(logs)] == [("bar:i0:1", "bar", 1)]


def test_entries_that_were_not_shown_or_not_clicked_are_no_events(dataset: Callable[..., Path]) -> None:
    exposures = [
        {"impression_id": "i0", "day": 0, "position": 0, "query": "retrieved only", "clicked": True},
        {"impression_id": "i0", "day": 0, "position": 1, "query": "ignored"},
    ]
    logs = load_logs(dataset(videos=VIDEOS, users=USERS, impressions=SEEN, exposures=exposures))
    assert not events(logs)


def test_queries_are_cleaned_and_share_one_code(dataset: Callable[..., Path]) -> None:
    searches = [
        {"search_id": f"s{i}", "day": 0, "user_id": "u0", "query": query, "source": "post_video", "photo_id": "p0"}
        for i, query in enumerate(["road  bike", "road bike", "\u200broad bike ", "\u200b"])
    ]
    logs = load_logs(dataset(videos=VIDEOS, users=USERS, impressions=SEEN, searches=searches))
    assert logs.queries.to_pylist() == ["road bike"]
    assert [(row["source"], row["query"]) for row in events(logs)] == [("post_video", 0)] * 3
    assert logs.emptied == 1


def test_the_alphabet_is_the_order_of_characters_in_any_script(
    dataset: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coded, "_QUERIES_AT_ONCE", 2)
    queries = ["zebra", "Zebra", "étui", "防晒霜", "\uffe5 sale", "😀 mug", "a", "a b"]
    searches = [
        {"search_id": f"s{i}", "day": 0, "user_id": "u0", "query": query, "source": "search_box"}
        for i, query in enumerate(queries)
    ]
    logs = load_logs(dataset(videos=VIDEOS, users=USERS, impressions=SEEN, searches=searches))
    cleaned = {clean_query(query) for query in queries}
    assert len(cleaned) >= 7
    assert logs.queries.to_pylist() == sorted(cleaned)


def test_codes_follow_the_alphabet_and_not_the_order_of_the_rows(dataset: Callable[..., Path]) -> None:
    searches = [
        {"search_id": f"s{user}", "day": 0, "user_id": user, "query": f"query of {user}", "source": "search_box"}
        for user in ("u2", "u0", "u1")
    ]
    users = [{"user_id": user} for user in ("u1", "u2", "u0")]
    logs = load_logs(dataset(videos=VIDEOS[::-1], users=users, impressions=SEEN, searches=searches))
    assert logs.videos["photo_id"].to_pylist() == ["p0", "p1"]
    assert logs.user_ids.to_pylist() == ["u0", "u1", "u2"]
    assert logs.queries.to_pylist() == ["query of u0", "query of u1", "query of u2"]
    assert [(row["user"], row["query"], row["photo"]) for row in events(logs)] == [(i, i, -1) for i in range(3)]


def test_rows_that_name_an_unknown_user_or_video_are_left_out_and_counted(dataset: Callable[..., Path]) -> None:
    logs = load_logs(
        dataset(
            videos=VIDEOS,
            users=USERS,
            impressions=[*SEEN, {"impression_id": "i1", "day": 0, "user_id": "u0", "photo_id": "deleted"}],
            exposures=[{"impression_id": "i1", "day": 0, "query": "bike", "clicked": True}],
            searches=[{"search_id": "s0", "day": 0, "user_id": "deleted", "query": "bike", "source": "search_box"}],
            reviews=[{"photo_id": "deleted", "day": 0, "verdict": "unsafe"}],
        ),
        settings=IntakeSettings(max_bad_share=1.0),
    )
    bad = {name: count.bad for name, count in logs.counts.items() if count.bad}
    assert bad == {"impressions": 1, "exposures": 1, "searches": 1, "reviews": 1}
    assert logs.engine.count(logs.impressions) == 1


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"videos\.parquet is missing"):
        load_logs(tmp_path)


def test_logs_without_impressions_are_refused(dataset: Callable[..., Path]) -> None:
    with pytest.raises(SettingsError, match=r"impressions table .* is empty"):
        load_logs(dataset(videos=VIDEOS, users=USERS))


def test_evidence_cannot_be_made_for_a_day_far_ahead(busy_logs: EmbeddedLogs) -> None:
    logs = busy_logs.logs
    assert logs.check_day(6) == 6
    with pytest.raises(SettingsError, match="days 0 to 5"):
        logs.check_day(7)
