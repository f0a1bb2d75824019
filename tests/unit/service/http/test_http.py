"""The service over HTTP, around a scripted engine: answers, their explanation, and what is recorded of them."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.fixtures.serving import (
    generation,
    running,
    scripted_app,
    spoken,
    with_key,
)

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_an_answer_has_the_best_queries_and_their_explanation(settings):
    app, engine = scripted_app(settings)
    engine.say(spoken(app.state.instance.parts.bundle, "camera lens", "travel camera", "camera lens!"))
    async with running(app) as client:
        body = {"photo_id": "p1", "user_id": "u1", "request_id": "r-1", "num_queries": 2, "explain": True}
        response = await client.post("/recommend", json=body, headers={"traceparent": TRACE})
        answer = response.json()
    assert response.status_code == 200
    assert response.headers["traceparent"] == TRACE
    assert response.headers["server-timing"].startswith("feature_store;dur=")
    assert answer["queries"] == [
        {"rank": 1, "query": "camera lens", "score": -1.0},
        {"rank": 2, "query": "travel camera", "score": -2.0},
    ]
    assert (answer["request_id"], answer["decision"], answer["reason"]) == ("r-1", "recommend", None)
    assert answer["model_version"] == app.state.instance.parts.bundle.model_version
    assert (answer["degraded"], len(answer["evidence_version"])) == ([], 12)
    assert answer["timings_ms"]["encode"] == 1.0
    assert answer["explain"]["source_text"] == "travel camera [SEP] a camera [SEP]  [SEP]  [SEP] travel camera lens"
    assert [item["rule"] for item in answer["explain"]["hypotheses"]] == [None, None, "duplicate"]


async def test_the_past_queries_of_a_viewer_are_part_of_the_source(settings):
    app, engine = scripted_app(settings)
    async with running(app) as client:
        warm = len(engine.seen)
        await client.post("/recommend", json={"photo_id": "p1", "user_id": "u1"})
        await client.post("/recommend", json={"photo_id": "p1", "user_id": "nobody"})
    with_history, without = engine.seen[warm:]
    assert with_history != without


async def test_every_abstention_names_its_reason(settings):
    app, engine = scripted_app(settings)
    bundle = app.state.instance.parts.bundle
    async with running(app) as client:

        async def reason(photo_id: str = "p1") -> tuple[str, str, list]:
            answer = (await client.post("/recommend", json={"photo_id": photo_id})).json()
            return answer["decision"], answer["reason"], answer["degraded"]

        assert await reason("unknown") == ("abstain", "no_evidence", [])
        generated = len(engine.seen)
        assert await reason("knife") == ("abstain", "all_filtered", [])
        assert len(engine.seen) == generated
        engine.say(generation([bundle.special_tokens.reject]))
        assert await reason() == ("abstain", "model_reject", [])
        engine.say(spoken(bundle, "camera", reject_probability=0.9))
        assert await reason() == ("abstain", "model_reject", [])
        engine.say(spoken(bundle, "!!"))
        assert await reason() == ("abstain", "all_filtered", [])
        engine.say(generation(steps=0, deadline_reached=True))
        assert await reason() == ("abstain", "deadline", ["deadline"])
        engine.say(generation(steps=2, deadline_reached=True))
        assert await reason() == ("abstain", "deadline", ["deadline"])


async def test_hypotheses_finished_before_the_deadline_are_shown(settings):
    app, engine = scripted_app(settings)
    engine.say(spoken(app.state.instance.parts.bundle, "camera lens", deadline_reached=True))
    async with running(app) as client:
        answer = (await client.post("/recommend", json={"photo_id": "p1"})).json()
    assert (answer["decision"], answer["degraded"]) == ("recommend", ["deadline"])


async def test_hypotheses_ended_by_the_deadline_are_shown_and_marked_as_forced(settings):
    app, engine = scripted_app(settings)
    engine.say(spoken(app.state.instance.parts.bundle, "camera lens", "", deadline_reached=True, forced=True))
    async with running(app) as client:
        answer = (await client.post("/recommend", json={"photo_id": "p1", "explain": True})).json()
    assert (answer["decision"], answer["degraded"]) == ("recommend", ["deadline"])
    assert [(item["verdict"], item["forced"]) for item in answer["explain"]["hypotheses"]] == [
        ("shown", True), ("dropped", True),
    ]  # fmt: skip


async def test_the_deadline_of_the_engine_is_that_of_the_request_minus_the_reserve(settings):
    app, engine = scripted_app(settings.model_copy(update={"response_reserve_ms": 400.0}))
    async with running(app) as client:
        before = time.perf_counter()
        await client.post("/recommend", json={"photo_id": "p1", "deadline_ms": 1000})
        after = time.perf_counter()
    assert before + 0.6 <= engine.deadlines[-1] <= after + 0.6


async def test_an_engine_that_exceeds_the_deadline_does_not_delay_the_answer(settings):
    app, engine = scripted_app(settings)
    async with running(app) as client:
        engine.hold()
        answer = (await client.post("/recommend", json={"photo_id": "p1", "deadline_ms": 20})).json()
        assert (answer["decision"], answer["reason"], answer["degraded"]) == ("abstain", "deadline", ["deadline"])
        engine.release()


async def test_an_unknown_video_is_answered_from_inline_evidence(settings):
    app, engine = scripted_app(settings)
    engine.say(spoken(app.state.instance.parts.bundle, "garden hose"))
    async with running(app) as client:
        answer = (await client.post("/recommend", json={"photo_id": "new", "evidence": {"caption": "a hose"}})).json()
    assert [query["query"] for query in answer["queries"]] == ["garden hose"]


async def test_a_query_is_not_shown_to_the_same_user_again_but_to_other_users(settings, tmp_path):
    keyed, headers = with_key(settings, tmp_path)
    app, engine = scripted_app(keyed)
    instance = app.state.instance
    engine.say(spoken(instance.parts.bundle, "camera lens", "camera bag"))
    async with running(app) as client:

        async def shown(user_id: str) -> list[str]:
            answer = (
                await client.post(
                    "/recommend", json={"photo_id": "p1", "user_id": user_id, "num_queries": 1}, headers=headers
                )
            ).json()
            await instance.serving.shown.flush()
            return [query["query"] for query in answer["queries"]]

        assert [await shown("u1"), await shown("u1"), await shown("u2"), await shown("u1")] == [
            ["camera lens"], ["camera bag"], ["camera lens"], [],
        ]  # fmt: skip


async def test_a_batch_gives_each_request_its_own_outcome(settings):
    app, engine = scripted_app(settings)
    engine.say(spoken(app.state.instance.parts.bundle, "camera lens"))
    requests = [
        {"photo_id": "p1", "request_id": "a"},
        {"photo_id": "unknown"},
        {"photo_id": "p1", "request_id": "c", "num_queries": 99, "colour": 1},
        7,
        {"photo_id": "p1", "evidence": {"caption": "\ud800"}},
    ]
    async with running(app) as client:
        content = json.dumps({"requests": requests})
        response = await client.post("/recommend/batch", content=content, headers={"content-type": "application/json"})
    assert response.status_code == 200
    results = response.json()["results"]
    assert [result["status"] for result in results] == [200, 200, 422, 422, 422]
    assert results[0]["response"]["request_id"] == "a"
    assert results[1]["response"]["reason"] == "no_evidence"
    assert [fault["field"] for fault in results[2]["error"]["errors"]] == ["num_queries", "colour"]
    assert results[2]["error"]["request_id"] == "c"
    assert results[4]["error"]["errors"][0]["field"] == "evidence.caption"


async def test_every_answer_writes_one_event(settings):
    app, engine = scripted_app(settings)
    engine.say(spoken(app.state.instance.parts.bundle, "camera lens", "Camera-Lens"))
    async with running(app) as client:
        await client.post("/recommend", json={"photo_id": "p1", "user_id": "u9"}, headers={"traceparent": TRACE})
        await client.post("/recommend", json={"photo_id": "unknown"})
        await client.post("/recommend", json={"photo_id": 5})
    events = [json.loads(line) for line in Path(settings.events.path).read_text().splitlines()]
    assert [event["decision"] for event in events] == ["recommend", "abstain"]
    assert events[0]["model_version"] == app.state.instance.parts.bundle.model_version
    assert (events[0]["user_id"], events[0]["traceparent"]) == ("u9", TRACE)
    assert [item["verdict"] for item in events[0]["hypotheses"]] == ["shown", "dropped"]
    assert events[0]["rules_version"] == app.state.instance.parts.rules.version
    assert abs(events[0]["time_ms"] / 1000 - time.time()) < 600


async def test_queries_shown_to_callers_without_a_key_are_not_recorded(settings):
    app, engine = scripted_app(settings)
    engine.say(spoken(app.state.instance.parts.bundle, "camera lens"))
    async with running(app) as client:
        for _ in range(2):
            answer = (await client.post("/recommend", json={"photo_id": "p1", "user_id": "u1"})).json()
            await app.state.instance.serving.shown.flush()
            assert [query["query"] for query in answer["queries"]] == ["camera lens"]


@pytest.mark.parametrize("trace", ["garbage", TRACE.replace("00-", "ff-", 1), TRACE.upper()])
async def test_an_invalid_traceparent_is_not_returned(settings, trace):
    app, _ = scripted_app(settings)
    async with running(app) as client:
        assert "traceparent" not in (await client.get("/healthz", headers={"traceparent": trace})).headers
