"""The service over HTTP, around a scripted engine: answers, refusals, degradations, draining."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
from pydantic import BaseModel

from generation.errors import RequestFailed
from service.answering.answer import Answer
from service.answering.deadline import Deadline
from service.answering.pipeline import Pipeline
from service.answering.request import RecommendRequest
from service.http import routes
from service.http.parsing import validate
from service.parts import Parts
from service.settings import Settings
from tests.fixtures.serving import (
    admin_client,
    generation,
    in_flight,
    metrics_of,
    running,
    scripted_app,
    settings_for,
    spoken,
    until,
    with_key,
)

PHOTOS = (
    {"photo_id": "p1", "caption": "travel camera #new", "summary": "The video shows a camera", "category": "cameras"},
    {"photo_id": "knife", "caption": "hunting knife", "category": "weapons"},
)
USERS = ({"user_id": "u1", "queries": ["travel camera lens", "red dress"]},)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def settings(bundle_path: Path, tmp_path: Path) -> Settings:
    photos, users = tmp_path / "photos.jsonl", tmp_path / "users.jsonl"
    photos.write_text("".join(json.dumps(row) + "\n" for row in PHOTOS))
    users.write_text("".join(json.dumps(row) + "\n" for row in USERS))
    store = {"url": "memory://", "evidence": (photos, users), "timeout_ms": 2000, "share": 1}
    (tmp_path / "rules.yaml").write_text("blocked_categories: [weapons]\nrecently_shown: {window_seconds: 600}\n")
    events = {"sink": "jsonl", "path": str(tmp_path / "events.jsonl")}
    return settings_for(bundle_path, store=store, rules=tmp_path / "rules.yaml", events=events)


def total(metrics: str, name: str) -> float:
    return sum(float(line.rsplit(" ", 1)[1]) for line in metrics.splitlines() if line.startswith(name))


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


async def test_a_request_to_a_full_queue_gets_429_with_retry_after(settings):
    app, engine = scripted_app(settings.model_copy(update={"max_queue": 2}))
    instance = app.state.instance
    async with running(app) as client:
        engine.hold()
        inside = [asyncio.create_task(client.post("/recommend", json={"photo_id": "p1"})) for _ in range(2)]
        await in_flight(instance, 2)
        refused = await client.post("/recommend", json={"photo_id": "p1", "request_id": "late"})
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert (refused.json()["error"], refused.json()["request_id"]) == ("overloaded", "late")
        engine.release()
        assert [response.status_code for response in await asyncio.gather(*inside)] == [200, 200]
        assert (await client.post("/recommend", json={"photo_id": "p1"})).status_code == 200
        metrics = await metrics_of(app)
    assert total(metrics, 'onebar_refused_requests_total{cause="queue_full"}') == 1


async def test_an_engine_error_is_500_and_the_next_request_is_answered(settings):
    app, engine = scripted_app(settings)
    async with running(app) as client:
        engine.error = RequestFailed("bad shapes")
        failed = await client.post("/recommend", json={"photo_id": "p1", "request_id": "r-2"})
        assert (failed.status_code, failed.json()["error"]) == (500, "generation_failed")
        assert failed.json()["request_id"] == "r-2"
        engine.error = None
        assert (await client.get("/readyz")).status_code == 200
        assert (await client.post("/recommend", json={"photo_id": "p1"})).status_code == 200


async def test_an_engine_that_has_ended_fails_readiness_but_not_liveness(settings):
    app, engine = scripted_app(settings)
    async with running(app) as client:
        engine.hold()
        inside = asyncio.create_task(client.post("/recommend", json={"photo_id": "p1"}))
        await until(lambda: engine.waiting == 1)
        engine.die()
        assert (await inside).status_code == 503
        ready = await client.get("/readyz")
        assert (ready.status_code, "engine" in ready.json()["message"]) == (503, True)
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        assert (await client.post("/recommend", json={"photo_id": "p1"})).status_code == 503
        assert total(await metrics_of(app), "onebar_ready ") == 0


async def test_a_draining_instance_is_not_ready_and_still_answers(settings):
    app, engine = scripted_app(settings)
    instance = app.state.instance
    async with running(app) as client:
        engine.hold()
        inside = asyncio.create_task(client.post("/recommend", json={"photo_id": "p1"}))
        await in_flight(instance, 1)
        instance.draining = True
        ready = await client.get("/readyz")
        assert (ready.status_code, "draining" in ready.json()["message"]) == (503, True)
        engine.release()
        assert (await inside).status_code == 200
        late = await client.post("/recommend", json={"photo_id": "p1"})
        assert (late.status_code, late.headers["connection"]) == (200, "close")


async def test_a_client_that_disconnects_cancels_its_generation(settings):
    app, engine = scripted_app(settings)
    instance = app.state.instance
    async with running(app) as client:
        engine.hold()
        first = asyncio.create_task(client.post("/recommend", json={"photo_id": "p1"}))
        await until(lambda: engine.waiting == 1)
        body = json.dumps({"photo_id": "p1", "evidence": {"caption": "never read"}}).encode()
        incoming = iter([{"type": "http.request", "body": body}])

        async def receive() -> dict:
            message = next(incoming, None)
            if message is None:
                await until(lambda: engine.waiting == 2)
                return {"type": "http.disconnect"}
            return message

        sent = []

        async def send(message: dict) -> None:
            sent.append(message)

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
            "path": "/recommend", "raw_path": b"/recommend", "root_path": "", "query_string": b"",
            "headers": [(b"content-type", b"application/json")], "client": ("127.0.0.1", 1), "server": ("onebar", 80),
        }  # fmt: skip
        await app(scope, receive, send)
        assert sent[0]["status"] == 499
        assert instance.serving.admission.inside == 1
        assert engine.left == [engine.seen[-1]]
        engine.release()
        assert (await first).status_code == 200
        assert total(await metrics_of(app), "onebar_cancelled_requests_total") == 1


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


async def test_items_of_a_batch_that_exceed_the_queue_get_429(settings):
    app, engine = scripted_app(settings.model_copy(update={"max_queue": 3}))
    engine.say(spoken(app.state.instance.parts.bundle, "camera lens"))
    async with running(app) as client:
        engine.hold()
        page = asyncio.create_task(client.post("/recommend/batch", json={"requests": [{"photo_id": "p1"}] * 5}))
        registry = app.state.instance.metrics.registry
        await until(lambda: registry.get_sample_value("onebar_batch_items_total", {"status": "429"}) == 2)
        engine.release()
        response = await page
    assert [result["status"] for result in response.json()["results"]] == [200, 200, 200, 429, 429]


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


async def test_an_unexpected_exception_is_a_json_500_and_is_counted(settings, monkeypatch):
    app, _ = scripted_app(settings)
    async with running(app), admin_client(app) as admin:
        monkeypatch.setattr(Parts, "describe", lambda self: 1 / 0)
        response = await admin.get("/version")
        assert (response.status_code, response.json()["error"]) == (500, "internal_error")
        metrics = await metrics_of(app)
    assert total(metrics, 'onebar_http_requests_total{path="/version",status="500"}') == 1


async def test_a_stalled_engine_fails_readiness_and_later_ends_the_process(settings):
    app, engine = scripted_app(settings)
    instance = app.state.instance
    async with running(app) as client:
        assert instance.engine_lost_because is None
        engine.stalled_seconds = settings.engine_stall_seconds + 0.1
        ready = await client.get("/readyz")
        assert (ready.status_code, "engine" in ready.json()["message"]) == (503, True)
        assert (await client.post("/recommend", json={"photo_id": "p1"})).status_code == 503
        assert (await client.get("/healthz")).status_code == 200
        assert instance.engine_lost_because is None
        engine.stalled_seconds = settings.engine_exit_seconds + 0.1
        assert "no step for" in instance.engine_lost_because
        engine.stalled_seconds = 0.0
        assert (await client.post("/recommend", json={"photo_id": "p1"})).status_code == 200


async def test_an_unexpected_exception_in_an_item_does_not_fail_the_other_items(settings, monkeypatch, caplog):
    app, engine = scripted_app(settings)
    engine.say(spoken(app.state.instance.parts.bundle, "camera lens"))
    whole = Pipeline.answer

    async def answer(self: Pipeline, request: RecommendRequest, deadline: Deadline) -> Answer:
        if request.request_id == "bad":
            raise ZeroDivisionError("a bug")
        return await whole(self, request, deadline)

    monkeypatch.setattr(Pipeline, "answer", answer)
    async with running(app) as client:
        requests = [{"photo_id": "p1"}, {"photo_id": "p1", "request_id": "bad"}, {"photo_id": "p1"}]
        results = (await client.post("/recommend/batch", json={"requests": requests})).json()["results"]
        metrics = await metrics_of(app)
    assert [result["status"] for result in results] == [200, 500, 200]
    assert results[1]["error"]["request_id"] == "bad"
    assert "a bug" in caplog.text
    assert total(metrics, 'onebar_batch_items_total{status="500"}') == 1


async def test_an_overloaded_instance_refuses_before_validation(settings, monkeypatch):
    app, engine = scripted_app(settings.model_copy(update={"max_queue": 1}))
    validated = []

    def noted(model: type[BaseModel], document: object) -> BaseModel:
        validated.append(model)
        return validate(model, document)

    monkeypatch.setattr(routes, "validate", noted)
    async with running(app) as client:
        engine.hold()
        inside = asyncio.create_task(client.post("/recommend", json={"photo_id": "p1"}))
        await in_flight(app.state.instance, 1)
        validated.clear()
        wrong = {"photo_id": "p1", "request_id": "r-9", "num_queries": "many"}
        refused = await client.post("/recommend", json=wrong)
        assert (refused.status_code, refused.json()["request_id"]) == (429, "r-9")
        page = await client.post("/recommend/batch", json={"requests": [wrong] * 16})
        assert [item["status"] for item in page.json()["results"]] == [429] * 16
        assert RecommendRequest not in validated
        engine.release()
        assert (await inside).status_code == 200


async def test_an_instance_is_not_ready_before_the_warm_up(settings):
    app, _ = scripted_app(settings)
    assert "starting" in app.state.instance.not_ready_because
