"""POST /feedback: who may send it, its form, and what reaches the event sink."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.http.feedback import TOLERANCE_MS
from service.http.feedback_wire import FeedbackResponse
from service.settings import EventSettings, FeedbackSettings, Settings
from tests.fixtures.serving import metrics_of, running, scripted_app, settings_for, spoken, with_key

CLICK = {"request_id": "r-1", "event": "click", "rank": 1}
LOCAL = {"host": "127.0.0.1:8000"}


@pytest.fixture
def settings(bundle_path: Path, tmp_path: Path) -> Settings:
    events = {"sink": "jsonl", "path": str(tmp_path / "events.jsonl")}
    return settings_for(bundle_path, events=events, feedback={"without_key": True})


def written(settings: Settings) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(settings.events.path).read_text(encoding="utf-8").splitlines()]


async def send(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    return await client.post("/feedback", json=CLICK | fields, headers=LOCAL)


async def test_an_answer_and_its_click_are_two_events_of_one_sink(settings: Settings) -> None:
    app, engine = scripted_app(settings)
    engine.say(spoken(app.state.instance.parts.bundle, "garden hose"))
    before = round(time.time() * 1000)
    async with running(app) as client:
        asked = {"photo_id": "new", "request_id": "r-1", "evidence": {"caption": "hose"}}
        assert (await client.post("/recommend", json=asked)).status_code == 200
        response = await send(client)
        metrics = await metrics_of(app)
    assert response.status_code == 202
    FeedbackResponse.model_validate(response.json(), strict=True)
    answer, feedback = written(settings)
    assert (answer["kind"], answer["request_id"]) == ("answer", "r-1")
    received = feedback.pop("time_ms")
    assert before <= received == feedback.pop("happened_ms")
    assert feedback == {
        "kind": "feedback", "request_id": "r-1", "event": "click", "event_id": None, "rank": 1, "query": None,
        "order_value": None, "key_id": None,
    }  # fmt: skip
    assert 'onebar_feedback_total{event="click"} 1.0' in metrics
    assert 'onebar_feedback_total{event="order"} 0.0' in metrics
    assert 'onebar_http_requests_total{path="/feedback",status="202"} 1.0' in metrics


async def test_only_a_key_with_the_permission_sends_feedback(settings: Settings, tmp_path: Path) -> None:
    keyed, feed = with_key(settings, tmp_path)
    _, able = with_key(settings, tmp_path, "feedback")
    app, _ = scripted_app(keyed)
    async with running(app) as client:
        statuses = [
            (await client.post("/feedback", json=CLICK, headers=headers)).status_code for headers in ({}, feed, able)
        ]
    assert statuses == [401, 403, 202]
    (event,) = written(settings)
    assert able["authorization"].split("_")[1] == event["key_id"]


@pytest.mark.parametrize(
    ("changes", "headers", "word"),
    [
        ({"feedback": FeedbackSettings()}, LOCAL, "onebar keys create"),
        ({"host": "0.0.0.0", "insecure": True}, LOCAL, "onebar keys create"),
        ({}, {"host": "evil.example"}, "127.0.0.1 or localhost"),
        ({}, LOCAL | {"origin": "http://evil.example"}, "pages of this service"),
    ],
)
async def test_without_keys_it_takes_a_setting_and_a_page_of_this_machine(
    settings: Settings, changes: dict[str, Any], headers: dict[str, str], word: str
) -> None:
    app, _ = scripted_app(settings.model_copy(update=changes))
    async with running(app) as client:
        refused = await client.post("/feedback", json=CLICK, headers=headers)
    assert refused.status_code == 403
    assert word in refused.json()["message"]
    assert written(settings) == []


async def test_a_malformed_origin_is_refused(settings: Settings) -> None:
    app, _ = scripted_app(settings)
    async with running(app) as client:
        response = await client.post("/feedback", json=CLICK, headers=LOCAL | {"origin": "http://["})
    assert (response.status_code, response.json()["error"]) == (403, "forbidden")


async def test_without_a_sink_there_is_no_feedback(settings: Settings) -> None:
    app, _ = scripted_app(settings.model_copy(update={"events": EventSettings(sink="none")}))
    async with running(app) as client:
        refused = await send(client)
    assert (refused.status_code, refused.json()["error"]) == (404, "not_available")
    assert "ONEBAR_EVENTS__SINK" in refused.json()["message"]


FAULTY = {
    "no request": ({"request_id": None}, "request_id"),
    "a long request id": ({"request_id": "r" * 129}, "request_id"),
    "an unknown event": ({"event": "view"}, "event"),
    "no query": ({"rank": None}, "body"),
    "rank 0": ({"rank": 0}, "rank"),
    "rank 9": ({"rank": 9}, "rank"),
    "an empty query": ({"query": ""}, "query"),
    "a long query": ({"query": "x" * 257}, "query"),
    "a query of two lines": ({"query": "a\nb"}, "query"),
    "a click with a value": ({"order_value": 3.0}, "body"),
    "an order without a value": ({"event": "order"}, "body"),
    "a negative value": ({"event": "order", "order_value": -1}, "order_value"),
    "a value without bound": ({"event": "order", "order_value": 1e10}, "order_value"),
    "a time as text": ({"time_ms": "now"}, "time_ms"),
    "a negative time": ({"time_ms": -1}, "time_ms"),
    "a time in seconds with a fraction": ({"time_ms": 1.5}, "time_ms"),
    "an event id with a space": ({"event_id": "a b"}, "event_id"),
    "an unknown field": ({"user_id": "u1"}, "user_id"),
}


async def test_each_fault_of_the_form_is_named(settings: Settings) -> None:
    app, _ = scripted_app(settings)
    async with running(app) as client:
        for name, (fields, fault) in FAULTY.items():
            refused = await send(client, **fields)
            assert refused.status_code == 422, name
            assert [error["field"] for error in refused.json()["errors"]] == [fault], name
        large = await client.post(
            "/feedback", content=b" " * 9000, headers=LOCAL | {"content-type": "application/json"}
        )
        assert (large.status_code, large.json()["error"]) == (413, "body_too_large")
        form = await client.post("/feedback", content=json.dumps(CLICK), headers=LOCAL)
        assert form.status_code == 415
        empty = await send(client, request_id="")
        assert empty.json()["errors"][0]["message"] == "It is empty; give a value."
        late = await send(client, time_ms=2**60)
        assert late.json()["errors"][0]["message"] == "It must be 9007199254740991 or less."
    assert written(settings) == []


async def test_a_time_may_be_ahead_of_the_clock_by_a_tolerance_only(settings: Settings) -> None:
    app, _ = scripted_app(settings)
    now = round(time.time() * 1000)
    async with running(app) as client:
        assert (await send(client, time_ms=now + TOLERANCE_MS - 1000)).status_code == 202
        assert (await send(client, time_ms=0)).status_code == 202
        refused = await send(client, time_ms=now + TOLERANCE_MS + 3_600_000)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "time_ms")
    assert "seconds in the future" in refused.json()["errors"][0]["message"]
    assert len(written(settings)) == 2


async def test_feedback_leaves_half_of_the_queue_to_answers(settings: Settings) -> None:
    small = settings.model_copy(update={"events": settings.events.model_copy(update={"queue_size": 4})})
    app, engine = scripted_app(small)
    engine.say(spoken(app.state.instance.parts.bundle, "garden hose"))
    async with running(app) as client:
        log = app.state.instance.events
        with log._changed:  # the writer waits, so that the queue fills
            outcomes = [await send(client) for _ in range(3)]
            for _ in range(2):
                await client.post("/recommend", json={"photo_id": "new", "evidence": {"caption": "hose"}})
        metrics = await metrics_of(app)
    assert [response.status_code for response in outcomes] == [202, 202, 429]
    assert outcomes[-1].headers["retry-after"] == "1"
    assert [event["kind"] for event in written(small)] == ["feedback", "feedback", "answer", "answer"]
    assert 'onebar_refused_requests_total{cause="event_queue_full"} 1.0' in metrics
    assert 'onebar_events_dropped_total{cause="queue_full"} 0.0' in metrics
