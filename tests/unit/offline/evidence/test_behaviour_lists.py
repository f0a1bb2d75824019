"""Behaviour lists: one query of each level of Table 2, best first.

One shop has most cases, each on a video of its own. Day 1 is for training, day 2 for validation, day 3 the test.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from evidence.safety import ProhibitedTerms
from offline.errors import SettingsError
from offline.evidence.behaviour_lists import SplitCounts, write_lists
from offline.evidence.embedded_logs import EmbeddedLogs, EvidenceSettings, embed_logs
from offline.evidence.intent import IntentSettings
from offline.evidence.list_candidates import ListSettings
from offline.evidence.safety_labels import label_videos
from tests.unit.offline.conftest import write_rows

Row = dict[str, Any]
Lists = dict[tuple[str, int], list[tuple[int, str]]]

ANY_INTENT = EvidenceSettings(intent=IntentSettings(threshold=0.0))
VIDEOS = {
    "anchors": "steel kettle for tea",
    "neighbour": "steel kettle for camping tea",
    "exposed anchor": "road bike for cycling",
    "other neighbour": "road bike for cycling uphill",
}
"""Captions of the videos that have one."""


def search(photo: str, day: int, query: str, *, user: str = "viewer", item_clicks: int = 1) -> Row:
    return {
        "photo_id": photo,
        "day": day,
        "query": query,
        "user_id": user,
        "item_clicks": item_clicks,
        "source": "post_video",
    }


def bar(photo: str, day: int, query: str, *, user: str = "viewer", times: int = 1, **values: Any) -> list[Row]:
    """Impressions with one query each."""
    return [{"photo_id": photo, "day": day, "query": query, "user_id": user, **values}] * times


SEARCHES = [
    search("every level", 1, "own and engaged"),
    search("every level", 0, "crowd and engaged", user="other"),
    search("engagement", 1, "typed in vain", item_clicks=0),
    search("own first", 0, "own", user="other"),
    search("earlier", 0, "own before"),
    search("earlier", 1, "own"),
    search("neighbour", 0, "camping kettle", user="other"),
    search("anchors", 0, "tea", user="other"),
    search("anchors", 1, "own"),
    search("other neighbour", 0, "mountain bike", user="other"),
    search("exposed anchor", 1, "own"),
    search("spelling", 1, "steel  flask"),
    search("later", 1, "own"),
    search("later", 2, "exposed", user="other"),
    search("later", 2, "own again"),
    search("alone", 1, "own"),
]
EXPOSURES = [
    *bar("every level", 1, "own", clicked=True),
    *bar("every level", 0, "crowd", user="other", clicked=True),
    *bar("every level", 0, "exposed", user="other"),
    *bar("every level", 0, "retrieved", user="other", position=0),
    *bar("engagement", 1, "clicked and engaged", clicked=True, engaged=True),
    *bar("own first", 1, "own", clicked=True),
    *bar("own first", 1, "exposed"),
    *bar("exposed anchor", 0, "mountain bike", user="other"),
    *bar("spelling", 0, "Steel Flask", user="other"),
    *bar("spelling", 0, "retrieved", user="other", position=0),
    *bar("later", 1, "exposed"),
    *bar("contradiction", 1, "own", clicked=True),
    *bar("contradiction", 1, "own", times=39),
    *bar("contradiction", 0, "popular", user="other", clicked=True, times=8),
    *bar("contradiction", 0, "popular", user="other", times=32),
    *bar("contradiction", 0, "unpopular", user="other", times=40),
    *bar("later", 3, "exposed"),
]


def write_shop(folder: Path, searches: list[Row], exposures: list[Row], **tables: list[Row]) -> Path:
    """Write logs of these searches and exposures, with the videos and users that they name."""
    impressions, shown = [], []
    for number, row in enumerate(exposures):
        own = {"impression_id": f"i{number}", "day": row["day"]}
        impressions.append({**own, "user_id": row["user_id"], "photo_id": row["photo_id"]})
        shown.append({**own, **{key: row[key] for key in row.keys() - {"user_id", "photo_id"}}})
    named = [*searches, *exposures]
    return write_rows(
        folder,
        videos=[{"photo_id": name, "caption": VIDEOS.get(name)} for name in sorted({row["photo_id"] for row in named})],
        users=[{"user_id": name} for name in sorted({row["user_id"] for row in named})],
        impressions=impressions,
        exposures=shown,
        searches=[{**row, "search_id": f"s{number}"} for number, row in enumerate(searches)],
        **tables,
    )


def make(embedded: EmbeddedLogs, out: Path, settings: ListSettings) -> tuple[Lists, dict[str, SplitCounts]]:
    """Write the lists of a shop, and read levels and queries of those of `viewer`, by video and day."""
    counts = write_lists(embedded, label_videos(embedded.logs, ProhibitedTerms(())), settings, out)
    rows = [row for name in counts for row in pq.read_table(out / f"lists_{name}.parquet").to_pylist()]
    mine = [row for row in rows if row["user_id"] == "viewer"]
    lists = {(row["photo_id"], row["day"]): list(zip(row["levels"], row["queries"], strict=True)) for row in mine}
    assert len(lists) == len(mine)
    return lists, counts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lists")


@pytest.fixture(scope="module")
def shop(folder: Path) -> EmbeddedLogs:
    return embed_logs(write_shop(folder / "logs", SEARCHES, EXPOSURES), ANY_INTENT)


@pytest.fixture(scope="module")
def made(shop: EmbeddedLogs, folder: Path) -> tuple[Lists, dict[str, SplitCounts]]:
    return make(shop, folder / "made", ListSettings())


@pytest.fixture(scope="module")
def lists(made: tuple[Lists, dict[str, SplitCounts]]) -> Lists:
    return made[0]


def test_a_list_has_one_query_of_each_level(lists: Lists) -> None:
    assert lists["every level", 1] == [
        (1, "own and engaged"),
        (2, "own"),
        (3, "crowd and engaged"),
        (4, "crowd"),
        (5, "exposed"),
        (6, "retrieved"),
    ]


def test_a_bar_click_is_engaged_by_its_column_and_a_search_by_an_item_click(lists: Lists) -> None:
    assert lists["engagement", 1] == [(1, "clicked and engaged"), (2, "typed in vain")]


def test_the_viewers_own_behaviour_comes_before_that_of_the_crowd(lists: Lists) -> None:
    """The click without engagement is of level 2, although another viewer engaged with the same query."""
    assert lists["own first", 1] == [(2, "own"), (5, "exposed")]


def test_an_earlier_click_of_the_viewer_counts_as_one_of_the_crowd(lists: Lists) -> None:
    assert lists["earlier", 1] == [(1, "own"), (3, "own before")]


def test_anchors_that_were_never_exposed_are_retrieved_ones(lists: Lists) -> None:
    """A history was issued on the video, so it is of level 3 or 4; an anchor comes from another video."""
    assert lists["anchors", 1] == [(1, "own"), (3, "tea"), (6, "camping kettle")]


def test_an_exposed_anchor_is_of_level_5(lists: Lists) -> None:
    assert lists["exposed anchor", 1] == [(1, "own"), (5, "mountain bike")]


def test_queries_that_are_equal_after_cleaning_or_apart_from_case_are_one(lists: Lists) -> None:
    assert lists["spelling", 1] == [(1, "steel flask"), (6, "retrieved")]


def test_later_behaviour_does_not_change_a_list(lists: Lists) -> None:
    """On day 2 the exposed query is searched. The list of day 1 does not know that; the one of day 2 does."""
    assert lists["later", 1] == [(1, "own"), (5, "exposed")]
    assert lists["later", 2] == [(1, "own again"), (3, "exposed")]


def test_the_evidence_of_a_list_is_from_the_days_before(folder: Path, lists: Lists) -> None:
    histories: dict[tuple[str, int], list[str]] = {}
    for name in ("train", "valid"):
        for row in pq.read_table(folder / "made" / f"lists_{name}.parquet").to_pylist():
            histories[row["photo_id"], row["day"]] = row["histories"]
    assert histories.keys() == lists.keys()
    assert histories["later", 1] == []
    assert histories["later", 2] == ["own"]
    assert histories["anchors", 1] == ["tea"]


def test_a_query_with_a_higher_ctr_than_a_better_level_is_dropped(
    made: tuple[Lists, dict[str, SplitCounts]],
) -> None:
    """The viewer's query has 1 click of 40 exposures, the one of level 4 has 8 of 40."""
    assert made[0]["contradiction", 1] == [(2, "own"), (5, "unpopular")]
    assert made[1]["train"].candidates.contradicting == {1: 0, 2: 0, 3: 0, 4: 1, 5: 0, 6: 0}


def test_a_list_of_one_query_is_left_out_and_counted(made: tuple[Lists, dict[str, SplitCounts]]) -> None:
    lists, counts = made
    assert ("alone", 1) not in lists
    train, valid = counts["train"], counts["valid"]
    assert (train.viewings, train.of_one_query, train.lists) == (10, 1, 9)
    assert train.lengths == {2: 7, 3: 1, 4: 0, 5: 0, 6: 1}
    assert (valid.days, valid.viewings, valid.lists) == ([2], 2, 2)


def test_only_the_window_and_the_pool_are_read(shop: EmbeddedLogs, folder: Path) -> None:
    """Without a past, the histories of a video are known from its evidence alone."""
    lists, _ = make(shop, folder / "today", ListSettings(window_days=0))
    assert lists["every level", 1] == [(1, "own and engaged"), (2, "own"), (6, "crowd")]
    assert lists["later", 2] == [(1, "own again"), (3, "exposed"), (6, "own")]

    lists, counts = make(shop, folder / "few", ListSettings(min_exposures=41, pool=1))
    assert lists["contradiction", 1] == [(2, "own"), (4, "popular"), (5, "unpopular")]
    assert counts["train"].beyond_pool == 5


def test_queries_without_intent_and_unsafe_videos_are_left_out(tmp_path: Path) -> None:
    """Nobody clicks an item after the song. The review of one video came on the test day, too late to be known."""
    song, engaged = "what song is this", [search("a", 0, "steel kettle", user="other")] * 9
    searches = [
        *engaged,
        *[search("a", 0, song, user="other", item_clicks=0)] * 9,
        search("a", 1, song, item_clicks=0),
        search("a", 1, "steel kettle"),
        search("b", 1, song, item_clicks=0),
        search("unsafe", 1, "steel kettle"),
        search("unsafe later", 1, "steel kettle"),
    ]
    exposures = [*bar("a", 1, "exposed"), *bar("unsafe", 1, "exposed"), *bar("unsafe later", 1, "exposed")]
    reviews = [
        {"photo_id": name, "day": day, "verdict": "unsafe", "policy_category": "fraud"}
        for name, day in (("unsafe", 1), ("unsafe later", 3))
    ]
    logs = write_shop(tmp_path / "logs", searches, [*exposures, *bar("a", 3, "exposed")], reviews=reviews)
    lists, counts = make(embed_logs(logs), tmp_path, ListSettings())
    assert lists == {
        ("a", 1): [(1, "steel kettle"), (5, "exposed")],
        ("unsafe later", 1): [(1, "steel kettle"), (5, "exposed")],
    }
    train = counts["train"]
    assert (train.viewings, train.without_intent, train.on_unsafe_videos, train.lists) == (4, 1, 1, 2)
    assert train.own_queries_without_intent == 2


def test_logs_without_a_click_are_refused(tmp_path: Path) -> None:
    logs = write_shop(tmp_path / "logs", [], [*bar("a", 1, "exposed"), *bar("a", 3, "exposed")])
    with pytest.raises(SettingsError, match=r"days 1 to 1 give no behaviour list.*check the tables"):
        make(embed_logs(logs), tmp_path, ListSettings())
    assert not list(tmp_path.glob("*.parquet"))


def test_empty_logs_are_refused(dataset: Callable[..., Path]) -> None:
    with pytest.raises(SettingsError, match=r"the impressions table .* is empty"):
        embed_logs(dataset())


def test_logs_that_are_too_short_are_refused(shop: EmbeddedLogs, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no training day is left"):
        make(shop, tmp_path, ListSettings(first_day=2))
