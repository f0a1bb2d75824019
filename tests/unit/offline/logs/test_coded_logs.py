"""Reading the log tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from offline.errors import SettingsError, TableError
from offline.logs.coded import BAR, POST_VIDEO, load_logs

VIDEOS = [{"photo_id": "p0"}, {"photo_id": "p1"}]
USERS = [{"user_id": "u0"}]
SEEN = [{"impression_id": "i0", "day": 0, "user_id": "u0", "photo_id": "p1"}]


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
    assert logs.events.event_ids.to_pylist() == ["bar:i0:1"]
    assert logs.events.source.tolist() == [BAR]
    assert logs.events.photo.tolist() == [1]


def test_entries_that_were_not_shown_or_not_clicked_are_no_events(dataset: Callable[..., Path]) -> None:
    exposures = [
        {"impression_id": "i0", "day": 0, "position": 0, "query": "retrieved only", "clicked": True},
        {"impression_id": "i0", "day": 0, "position": 1, "query": "ignored"},
    ]
    logs = load_logs(dataset(videos=VIDEOS, users=USERS, impressions=SEEN, exposures=exposures))
    assert len(logs.events.day) == 0


def test_queries_are_cleaned_and_share_one_code(dataset: Callable[..., Path]) -> None:
    searches = [
        {"search_id": f"s{i}", "day": 0, "user_id": "u0", "query": query, "source": "post_video", "photo_id": "p0"}
        for i, query in enumerate(["road  bike", "road bike", "\u200broad bike ", "\u200b"])
    ]
    logs = load_logs(dataset(videos=VIDEOS, users=USERS, impressions=SEEN, searches=searches))
    assert logs.queries.to_pylist() == ["road bike"]
    assert logs.events.source.tolist() == [POST_VIDEO] * 3
    assert logs.unknown["query events"] == 1


def test_rows_that_name_an_unknown_user_or_video_are_left_out_and_counted(dataset: Callable[..., Path]) -> None:
    logs = load_logs(
        dataset(
            videos=VIDEOS,
            users=USERS,
            impressions=[*SEEN, {"impression_id": "i1", "day": 0, "user_id": "u0", "photo_id": "deleted"}],
            exposures=[{"impression_id": "i1", "day": 0, "query": "bike", "clicked": True}],
            searches=[{"search_id": "s0", "day": 0, "user_id": "deleted", "query": "bike", "source": "search_box"}],
            reviews=[{"photo_id": "deleted", "day": 0, "verdict": "unsafe"}],
        )
    )
    assert logs.unknown == {"impressions": 1, "query events": 2, "reviews": 1}
    assert len(logs.impressions.day) == 1


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"videos\.parquet is missing"):
        load_logs(tmp_path)


def test_logs_without_impressions_are_refused(dataset: Callable[..., Path]) -> None:
    with pytest.raises(SettingsError, match=r"impressions table .* is empty"):
        load_logs(dataset(videos=VIDEOS, users=USERS))


def test_evidence_cannot_be_made_for_a_day_far_ahead(busy_dataset: Path) -> None:
    logs = load_logs(busy_dataset)
    assert logs.check_day(6) == 6
    with pytest.raises(SettingsError, match="days 0 to 5"):
        logs.check_day(7)
