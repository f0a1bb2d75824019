"""The service over the real scheduler: requests at the same time, batches, deadlines, and a request that fails."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from generation.engine import Generation
from generation.scheduler import Scheduler
from service.answering.runner import GenerationRunner
from service.http.app import create_app
from tests.fixtures.serving import metrics_of, running, scripted_app, settings_for, until

CAPTIONS = ("red running shoes", "camera", "winter coat for women, cheap and long", "tent", "garden tools set review")


def body(number: int, **fields: object) -> dict:
    caption = f"{CAPTIONS[number % len(CAPTIONS)]} {number}"
    return {"photo_id": f"p{number}", "evidence": {"caption": caption}, "num_queries": 8, "explain": True, **fields}


def hypotheses(answer: dict) -> list[tuple[str, float]]:
    return [(item["query"], item["score"]) for item in answer["explain"]["hypotheses"]]


async def ask(client: httpx.AsyncClient, number: int, **fields: object) -> dict:
    response = await client.post("/recommend", json=body(number, **fields))
    assert response.status_code == 200, response.text
    return response.json()


@pytest.fixture
def app(bundle_path: Path) -> FastAPI:
    return create_app(settings_for(bundle_path))


async def test_requests_at_the_same_time_get_what_each_gets_alone(app):
    async with running(app) as client:
        alone = [await ask(client, number) for number in range(24)]
        together = await asyncio.gather(*(ask(client, number) for number in range(24)))
    for one, other in zip(alone, together, strict=True):
        assert [query for query, _ in hypotheses(one)] == [query for query, _ in hypotheses(other)]
        assert [score for _, score in hypotheses(one)] == pytest.approx(
            [score for _, score in hypotheses(other)], abs=2e-5
        )


class Gate:
    """A constraint that forbids nothing and lets nobody take a step before it is opened."""

    def __init__(self) -> None:
        self.opened = threading.Event()

    def begin(self) -> None: ...

    def follow(self, states: Sequence[None], beam_indices: Sequence[int], tokens: Sequence[int]) -> list[None]:
        return [None] * len(tokens)

    def restrict(self, states: Sequence[None]) -> list[None]:
        assert self.opened.wait(30), "the test never opened the gate"
        return [None] * len(states)


async def test_a_feed_page_of_sixteen_is_answered_in_one_call_and_stepped_together(bundle_path, monkeypatch):
    app, gate = create_app(settings_for(bundle_path, decoding={"min_new_tokens": 5})), Gate()
    instance = app.state.instance
    async with running(app) as client:
        monkeypatch.setattr(instance.runner, "_processors", (gate,))
        page = client.post("/recommend/batch", json={"requests": [body(number) for number in range(16)]})
        answered = asyncio.create_task(page)
        await until(lambda: instance.runner.waiting == 16)  # the one that is being encoded among them
        gate.opened.set()
        results = (await answered).json()["results"]
        metrics = await metrics_of(app)
    assert [result["status"] for result in results] == [200] * 16
    assert all(not result["response"]["degraded"] for result in results)
    samples = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if not line.startswith("#"))
    assert float(samples['onebar_engine_requests_total{outcome="finished"}']) >= 16
    # There were steps of more rows than the eight that one request has.
    assert float(samples['onebar_engine_step_rows_bucket{le="8.0"}']) < float(samples["onebar_engine_step_rows_count"])


@pytest.mark.parametrize("deadline_ms", [1, 2, 4, 8])
async def test_a_short_deadline_gives_what_there_is(app, deadline_ms):
    async with running(app) as client:
        answer = await ask(client, 0, deadline_ms=deadline_ms)
    if "deadline" in answer["degraded"]:
        assert answer["reason"] in (None, "deadline", "model_reject")
        assert (answer["decision"] == "recommend") == bool(answer["queries"])
    else:
        assert not any(item["forced"] for item in answer["explain"]["hypotheses"])


class Unbearable:
    """A constraint that always fails."""

    def begin(self) -> None:
        raise ValueError("no such constraint")


async def test_a_request_that_fails_in_the_engine_fails_alone(app, monkeypatch, caplog):
    runner = app.state.instance.runner
    submitted = []

    def start(source_ids: Sequence[int], deadline: float) -> asyncio.Future[Generation]:
        submitted.append(source_ids)
        monkeypatch.setattr(runner, "_processors", (Unbearable(),) if len(submitted) == 3 else ())
        return GenerationRunner.start(runner, source_ids, deadline)

    async with running(app) as client:
        monkeypatch.setattr(runner, "start", start)
        responses = await asyncio.gather(*(client.post("/recommend", json=body(number)) for number in range(6)))
        assert sorted(response.status_code for response in responses) == [200] * 5 + [500]
        assert {response.json().get("error") for response in responses} == {None, "generation_failed"}
        assert (await client.get("/readyz")).status_code == 200
    assert "no such constraint" in caplog.text


async def test_when_the_scheduler_is_gone_the_instance_is_not_ready(app):
    async with running(app) as client:
        scheduler: Scheduler = app.state.instance.runner._scheduler
        await asyncio.to_thread(scheduler.close, 0.0)
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.post("/recommend", json=body(0))).status_code == 503
        assert (await client.get("/healthz")).status_code == 200


async def test_what_cannot_be_done_in_time_is_refused_at_the_door(bundle_path):
    app, engine = scripted_app(settings_for(bundle_path))
    async with running(app) as client:
        engine.seconds = 0.4
        engine.hold()
        inside = asyncio.create_task(client.post("/recommend", json=body(0)))
        await until(lambda: engine.waiting == 1)
        seen = len(engine.seen)
        refused = await client.post("/recommend", json=body(1, deadline_ms=500))
        assert (refused.status_code, refused.json()["error"]) == (429, "overloaded")
        assert refused.json()["retry_after_ms"] == 800
        assert refused.headers["server-timing"].startswith("total;dur=")
        assert len(engine.seen) == seen
        assert 'onebar_refused_requests_total{cause="expected_wait"} 1.0' in await metrics_of(app)
        engine.release()
        assert (await inside).status_code == 200
