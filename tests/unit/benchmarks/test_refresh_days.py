"""Simulated days beside a live service: what viewers do, which events the refresh gets, and when the aims are met."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.refresh_days.dated import dated
from benchmarks.refresh_days.findings import aims, change_figures, different_rows, served_hits
from benchmarks.refresh_days.quality import without_logs
from benchmarks.refresh_days.shop import SMOKE, Shop
from benchmarks.refresh_days.visits import Day, Viewers, Visit, false_reports, rank_of, reactions, visits_of
from benchmarks.windows import Window
from evaluation.inputs import Example
from evidence.schema import RawText
from loadtest.samples import Sample
from loadtest.traffic import COLD, WARM, Mix, Traffic

VIDEOS = {"p1": {"photo_id": "p1", "caption": "red shoes"}, "p2": {"photo_id": "p2", "caption": "a kettle"}}


def visit(name: str, wanted: str | None = "red shoes", age: int = 1, time_ms: int = 1_000_000) -> Visit:
    return Visit(name, "p1", "u1", time_ms, wanted, age)


def traffic() -> Traffic:
    return Traffic(list(VIDEOS.values()), ["u1"], mix=Mix(batch=0))


def test_the_calls_of_a_day_are_its_impressions_and_then_others():
    day = Day([visit("i1"), Visit("i2", "p2", "u1", 0, None, 0)], VIDEOS, traffic())
    first, second, third = (day.next_call() for _ in range(3))
    assert (first.scenario, first.body["request_id"], "evidence" in first.body) == (WARM, "i1", False)
    assert (second.scenario, second.body["evidence"]) == (COLD, {"caption": "a kettle"})
    assert day.left == 0
    assert third.body["request_id"] not in day.visits


def test_the_intent_of_a_visit_is_that_of_the_simulation():
    impressions = [{"impression_id": f"i{n}", "photo_id": "p1", "user_id": "u1", "ts": 5, "day": 8} for n in (1, 2)]
    found = visits_of(impressions, [{"impression_id": "i2", "target": "red shoes"}], {"p1": 6})
    assert [(one.wanted, one.age) for one in found] == [(None, 2), ("red shoes", 2)]


def test_a_viewer_clicks_on_the_wanted_query_and_on_no_other():
    assert rank_of("Red  shoes", ["boots", "red shoes"]) == 2
    assert rank_of("red shoes", ["boots"]) == 0
    assert rank_of(None, ["boots"]) == 0
    assert reactions(visit("i1"), 0) == []
    events = [event for n in range(200) for event in reactions(visit(f"i{n}"), 2)]
    assert all(event["rank"] == 2 for event in events)
    assert {event["event"] for event in events} == {"click", "engagement", "order"}
    assert all(("order_value" in event) == (event["event"] == "order") for event in events)


class Answers:
    """A client whose service shows two queries."""

    def __init__(self) -> None:
        self.feedback: list[dict[str, Any]] = []

    async def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        asked = json.loads(body)
        if path == "/feedback":
            self.feedback.append(asked)
            return 202, b"{}"
        queries = [{"query": "boots"}, {"query": "red shoes"}]
        answer = {"request_id": asked["request_id"], "queries": queries, "model_version": "0" * 12}
        return 200, json.dumps(answer).encode()


def test_viewers_report_what_they_click_and_other_calls_have_no_viewer():
    client = Answers()
    viewers = Viewers(client)
    viewers.begin({"i1": visit("i1"), "i2": visit("i2", wanted="kettle")})

    async def play() -> None:
        for name in ("i1", "i2", "load-1"):
            await viewers.post("/recommend", json.dumps({"request_id": name}).encode())
        await viewers.settled()

    asyncio.run(play())
    assert viewers.clicked == {"i1"}
    assert viewers.shown == {"i1": ["boots", "red shoes"], "i2": ["boots", "red shoes"]}
    assert viewers.versions == {"0" * 12: 3}
    assert {event["request_id"] for event in client.feedback} == {"i1"}
    assert viewers.feedback == {202: len(client.feedback)}


def answer(name: str, time_ms: int) -> dict[str, Any]:
    return {"kind": "answer", "request_id": name, "time_ms": time_ms}


def feedback(name: str, time_ms: int) -> dict[str, Any]:
    return {"kind": "feedback", "request_id": name, "time_ms": time_ms, "happened_ms": time_ms}


def test_events_keep_their_distance_from_the_answer_on_the_simulated_day():
    events = [answer("i1", 50_000), feedback("i1", 50_700), answer("load-1", 50_800), feedback("invented-i1", 50_900)]
    moved = list(dated(events, {"i1": visit("i1", time_ms=1_000_000)}))
    assert moved == [
        answer("i1", 1_000_000),
        feedback("i1", 1_000_700),
        feedback("invented-i1", 1_000_900),
        answer("i1", 1_000_000),  # delivered at least once
    ]


def test_false_reports_name_no_shown_query_or_come_before_the_answer():
    kinds = [sorted(event) for event in false_reports("i1")]
    assert kinds == [
        ["event", "rank", "request_id"], ["event", "query", "request_id"], ["event", "rank", "request_id", "time_ms"],
    ]  # fmt: skip


def test_hits_are_counted_by_age_of_the_video_and_a_refusal_is_a_miss():
    visits = [visit("i1", age=0), visit("i2", age=1), visit("i3", age=1), visit("i4", age=9), visit("i5", None)]
    found = served_hits(visits, {"i1": ["red shoes"], "i2": ["red shoes"], "i4": []})
    assert found == {
        "new today": {"intents": 1, "hr": 1.0},
        "new yesterday": {"intents": 2, "hr": 0.5},
        "older": {"intents": 1, "hr": 0.0},
    }


def test_an_export_is_compared_with_what_viewers_saw_and_clicked(tmp_path: Path):
    rows = [
        {"impression_id": "i1", "position": 1, "query": "boots", "clicked": False},
        {"impression_id": "i1", "position": 2, "query": "red shoes", "clicked": True},
        {"impression_id": "i1", "position": None, "query": "not shown", "clicked": False},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "day.parquet")
    shown = {"i1": ["boots", "red shoes"]}
    assert different_rows(tmp_path / "day.parquet", shown, {"i1"}) == {"exposures": 2, "different": 0}
    assert different_rows(tmp_path / "day.parquet", {"i1": ["boots"]}, {"i2"})["different"] == 3


def test_the_searches_of_a_day_follow_what_was_clicked_in_the_live_bar(tmp_path: Path):
    shop = Shop(tmp_path, SMOKE)
    (shop.world / "truth").mkdir(parents=True)

    def write(name: str, rows: list[dict[str, Any]]) -> None:
        pq.write_table(pa.Table.from_pylist(rows), shop.world / f"{name}.parquet")

    seen = {"day": 4, "user_id": "u1"}
    write("impressions", [{"impression_id": f"i{n}", "photo_id": f"p{n}", **seen} for n in (1, 2)])
    write("truth/targets", [{"impression_id": f"i{n}", "day": 4, "target": f"q{n}"} for n in (1, 2)])
    write(
        "searches",
        [
            {"photo_id": "p1", "query": "q1", "source": "post_video", **seen},
            {"photo_id": "p2", "query": "q2", "source": "bar", **seen},
            {"photo_id": None, "query": "q1", "source": "search_box", **seen},
        ],
    )
    write("search_clicks", [{"search_id": "s1", "day": 4}])
    shop.put_searches(4, {"i1"})
    sources = pq.read_table(shop.logs / "searches" / "day-00004.parquet")["source"].to_pylist()
    assert sources == ["bar", "post_video", "search_box"]


def test_without_the_refresh_a_new_video_has_its_texts_and_the_viewer():
    example = Example("e", "p", "u", "bar", "q", RawText(caption="c"), "s", ("a",), ("h",), ("mine",), True)
    bare = without_logs(example)
    assert (bare.anchors, bare.histories, bare.personal, bare.raw, bare.summary) == (
        (),
        (),
        ("mine",),
        example.raw,
        "s",
    )


def window(latency_ms: float, status: int = 200, faults: tuple[str, ...] = ()) -> Window:
    return Window(3.0, [Sample("stored", 0.0, 0.0, latency_ms, status, faults, ())] * 10, 300.0)


def test_a_refusal_by_admission_control_is_counted_apart_from_failures():
    assert (len(window(1.0, 429).failed), len(window(1.0, 429).refused)) == (0, 10)
    assert len(window(1.0, 503).failed) == len(window(1.0, faults=("a query is empty",)).failed) == 10


def test_a_change_is_compared_with_the_median_of_the_quiet_windows():
    found = change_figures([window(8.0), window(10.0), window(90.0)], window(15.0))
    assert (found["quiet_p99_ms"], found["times_quiet"]) == (10.0, 1.5)


def findings(**changes: Any) -> dict[str, Any]:
    whole = {
        "load": {"failed": 0}, "feedback": {"failed": 0}, "changes": {"p99_ms": 20.0, "times_quiet": 1.2},
        "days": [{"outcome": "promoted", "exported": {"different": 0}}], "bundles_loaded": 2,
        "rollback": {"works": True},
        "sabotage": {"outcome": "refused", "served": False},
        "quality": {"all": {"refreshed": {"interval": [0.01, 0.1]}}},
    }  # fmt: skip
    return whole | changes


def test_a_run_meets_its_aims():
    assert all(aims(findings()).values())


@pytest.mark.parametrize(
    "change",
    [
        {"load": {"failed": 1}},
        {"feedback": {"failed": 1}},
        {"changes": {"p99_ms": 30.1, "times_quiet": 1.0}},
        {"changes": {"p99_ms": 20.0, "times_quiet": 1.6}},
        {"days": [{"outcome": "refused", "exported": {"different": 0}}]},
        {"days": [{"outcome": "promoted", "exported": {"different": 2}}]},
        {"bundles_loaded": 3},
        {"sabotage": {"outcome": "promoted", "served": True}},
        {"sabotage": {"outcome": "refused", "served": True}},
        {"rollback": {"works": False}},
        {"quality": {"all": {"refreshed": {"interval": [-0.01, 0.1]}}}},
    ],
)
def test_each_fault_misses_one_aim(change: dict[str, Any]):
    assert list(aims(findings(**change)).values()).count(False) == 1
