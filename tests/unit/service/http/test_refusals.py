"""Requests that are refused or fail, and an instance that is not ready, around a scripted engine."""

from __future__ import annotations

import asyncio
import json
import re

from pydantic import BaseModel

from generation.errors import RequestFailed
from service.answering.answer import Answer
from service.answering.deadline import Deadline
from service.answering.pipeline import Pipeline
from service.answering.request import RecommendRequest
from service.http import routes
from service.http.parsing import validate
from service.parts import Parts
from tests.fixtures.serving import (
    admin_client,
    in_flight,
    metrics_of,
    running,
    scripted_app,
    spoken,
    total,
    until,
)


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


async def test_an_unexpected_exception_is_a_json_500_and_is_counted(settings, monkeypatch):
    app, _ = scripted_app(settings)
    async with running(app), admin_client(app) as admin:
        monkeypatch.setattr(Parts, "describe", lambda self: 1 / 0)
        response = await admin.get("/version")
        assert (response.status_code, response.json()["error"]) == (500, "internal_error")
        metrics = await metrics_of(app)
    assert total(metrics, 'onebar_http_requests_total{path="/version",status="500"}') == 1


async def test_an_unexpected_failure_names_the_request_id_of_its_log_lines(settings, monkeypatch):
    app, _ = scripted_app(settings)
    async with running(app) as client:
        monkeypatch.setattr(Pipeline, "_apply_policy", lambda *arguments: 1 / 0)
        own = await client.post("/recommend", json={"photo_id": "p1", "request_id": "r-7"})
        made = await client.post("/recommend", json={"photo_id": "p1"})
    assert (own.status_code, own.json()["request_id"]) == (500, "r-7")
    assert re.fullmatch("[0-9a-f]{32}", made.json()["request_id"])


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
