"""The service over the real scheduler: requests at the same time, batches, deadlines, and a request that fails."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from generation.engine import Generation
from generation.logits_processors import Banned
from generation.scheduler import Scheduler
from service.answering.runner import GenerationRunner
from service.http.app import create_app
from tests.fixtures.serving import metrics_of, running, scripted_app, settings_for, until

END = 2  # </s>
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


async def test_concurrent_requests_get_the_answers_of_sequential_ones(app):
    async with running(app) as client:
        alone = [await ask(client, number) for number in range(24)]
        together = await asyncio.gather(*(ask(client, number) for number in range(24)))
    for one, other in zip(alone, together, strict=True):
        assert [query for query, _ in hypotheses(one)] == [query for query, _ in hypotheses(other)]
        assert [score for _, score in hypotheses(one)] == pytest.approx(
            [score for _, score in hypotheses(other)], abs=2e-5
        )


class Gate:
    """A constraint that forbids nothing and blocks every step until it is opened."""

    def __init__(self) -> None:
        self.opened = threading.Event()

    def begin(self) -> None: ...

    def follow(self, states: Sequence[None], beam_indices: Sequence[int], tokens: Sequence[int]) -> list[None]:
        return [None] * len(tokens)

    def restrict(self, states: Sequence[None]) -> list[None]:
        assert self.opened.wait(30), "the test never opened the gate"
        return [None] * len(states)


async def test_the_sixteen_requests_of_a_batch_are_stepped_together(bundle_path, monkeypatch):
    app, gate = create_app(settings_for(bundle_path, decoding={"min_new_tokens": 5})), Gate()
    instance = app.state.instance
    async with running(app) as client:
        monkeypatch.setattr(instance.runner, "_processors", (gate,))
        page = client.post("/recommend/batch", json={"requests": [body(number) for number in range(16)]})
        answered = asyncio.create_task(page)
        await until(lambda: instance.runner.waiting == 16)  # includes the one that is being encoded
        gate.opened.set()
        results = (await answered).json()["results"]
        metrics = await metrics_of(app)
    assert [result["status"] for result in results] == [200] * 16
    assert all(not result["response"]["degraded"] for result in results)
    samples = samples_of(metrics)
    assert samples['onebar_engine_requests_total{outcome="finished"}'] == 16
    # One request has eight rows, so a step of more rows had several requests.
    assert samples['onebar_engine_step_rows_bucket{le="8.0"}'] < samples["onebar_engine_step_rows_count"]


def samples_of(metrics: str) -> dict[str, float]:
    lines = (line.rsplit(" ", 1) for line in metrics.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in lines}


async def test_engine_metrics_count_requests_but_not_the_rehearsal(app):
    names = ['onebar_engine_requests_total{outcome="finished"}', "onebar_engine_encode_seconds_count"]
    async with running(app) as client:
        before = samples_of(await metrics_of(app))
        await ask(client, 0)
        after = samples_of(await metrics_of(app))
    assert [before[name] for name in names] == [0.0, 0.0]
    assert [after[name] for name in names] == [1.0, 1.0]
    assert app.state.instance.runner._scheduler.stats().encodes > 1  # there was a rehearsal


class Slow:
    """A constraint that lets only the best beam end, and makes one step take a given time; it counts the steps."""

    def __init__(self, step: int, seconds: float) -> None:
        self.slow_step, self.seconds = step, seconds
        self.steps = 0

    def begin(self) -> None: ...

    def follow(self, states: Sequence[None], beam_indices: Sequence[int], tokens: Sequence[int]) -> list[None]:
        return [None] * len(tokens)

    def restrict(self, states: Sequence[None]) -> list[Banned | None]:
        self.steps += 1
        if self.steps == self.slow_step:
            time.sleep(self.seconds)
        return [None, *[Banned(frozenset({END}))] * (len(states) - 1)]


async def test_a_search_cut_by_the_deadline_returns_the_finished_hypotheses(bundle_path, monkeypatch):
    # The reserve is 4.6 of 5 s, so the engine must cut at 0.4 s, and the service waits for it until 2.7 s. The third
    # step takes 0.5 s, so the search is cut after it on every machine, when at most three hypotheses are finished.
    settings = settings_for(bundle_path, response_reserve_ms=4600)
    app, slow = create_app(settings), Slow(3, 0.5)
    async with running(app) as client:
        monkeypatch.setattr(app.state.instance.runner, "_processors", (slow,))
        answer = await ask(client, 0, deadline_ms=5000)
        metrics = await metrics_of(app)
    assert answer["degraded"] == ["deadline"]
    assert (answer["decision"], answer["reason"]) == ("recommend", None)
    assert answer["queries"]
    assert 0 < len(answer["explain"]["hypotheses"]) <= 3
    assert slow.steps == 3, "no step was begun after the cut"
    assert 'onebar_engine_requests_total{outcome="deadline"} 1.0' in metrics


async def test_a_deadline_before_the_first_step_gives_an_empty_answer(bundle_path, monkeypatch):
    app, gate = create_app(settings_for(bundle_path)), Gate()
    async with running(app) as client:
        monkeypatch.setattr(app.state.instance.runner, "_processors", (gate,))
        answer = await ask(client, 0, deadline_ms=200)
        gate.opened.set()
    assert answer["degraded"] == ["deadline"]
    assert (answer["decision"], answer["reason"], answer["queries"]) == ("abstain", "deadline", [])


class Unbearable:
    """A constraint that always fails."""

    def begin(self) -> None:
        raise ValueError("no such constraint")


async def test_a_request_that_fails_in_the_engine_does_not_fail_others(app, monkeypatch, caplog):
    runner = app.state.instance.runner
    submitted = []

    def start(source_ids: Sequence[int], deadline: float, *, record_search: bool) -> asyncio.Future[Generation]:
        submitted.append(source_ids)
        monkeypatch.setattr(runner, "_processors", (Unbearable(),) if len(submitted) == 3 else ())
        return GenerationRunner.start(runner, source_ids, deadline, record_search=record_search)

    async with running(app) as client:
        monkeypatch.setattr(runner, "start", start)
        responses = await asyncio.gather(*(client.post("/recommend", json=body(number)) for number in range(6)))
        assert sorted(response.status_code for response in responses) == [200] * 5 + [500]
        assert {response.json().get("error") for response in responses} == {None, "generation_failed"}
        assert (await client.get("/readyz")).status_code == 200
    assert "no such constraint" in caplog.text


async def test_an_instance_whose_scheduler_is_closed_is_not_ready(app):
    async with running(app) as client:
        scheduler: Scheduler = app.state.instance.runner._scheduler
        await asyncio.to_thread(scheduler.close, 0.0)
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.post("/recommend", json=body(0))).status_code == 503
        assert (await client.get("/healthz")).status_code == 200


async def test_a_request_that_would_miss_its_deadline_is_refused_on_arrival(bundle_path):
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


async def test_an_instance_is_not_ready_while_a_step_of_its_engine_hangs(bundle_path, monkeypatch):
    app = create_app(settings_for(bundle_path, engine_stall_seconds=0.5, decoding={"min_new_tokens": 5}))
    instance, gate = app.state.instance, Gate()
    async with running(app) as client:
        monkeypatch.setattr(instance.runner, "_processors", (gate,))
        assert (await client.get("/readyz")).status_code == 200
        answered = asyncio.create_task(client.post("/recommend", json=body(0)))
        await until(lambda: instance.runner.stalled_seconds > 0.5)
        assert (await client.get("/readyz")).status_code == 503
        gate.opened.set()
        assert (await answered).status_code == 200
        assert (await client.get("/readyz")).status_code == 200
