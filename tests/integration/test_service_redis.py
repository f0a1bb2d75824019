"""The service on a real Redis: outages, other embedding versions, shown queries, and the event stream."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import httpx
import numpy as np
import pytest
import redis

from evidence.embedding import EMBEDDING_VERSION, embed
from feature_store.loader import load_path
from feature_store.publish import open_writer
from feature_store.rows import vector_bytes
from service.errors import ConfigurationError
from service.http.app import create_app
from tests.fixtures.serving import bundle_path, metrics_of, running, scripted_app, settings_for, spoken, with_key

__all__ = ["bundle_path"]

PHOTO = {"photo_id": "p1", "caption": "travel camera", "summary": "a black camera", "category": "cameras"}
USER = {"user_id": "u1", "queries": ["travel camera lens", "red dress"]}
INLINE = {"photo_id": "p1", "evidence": {"caption": "garden hose"}}
DOWN = {"feature_store_down", "feature_store_timeout"}


def load(url: str, folder: Path, *rows: dict) -> None:
    """Write rows into the store as `onebar evidence load` does."""
    for number, row in enumerate(rows):
        file = folder / f"rows-{number}.jsonl"
        file.write_text(json.dumps(row) + "\n")
        with closing(open_writer(url)) as writer:
            assert load_path(file, writer).written == 1


def encoded(texts: Iterable[str], version: str) -> dict[str, str]:
    matrix = embed(list(texts)) if version == EMBEDDING_VERSION else np.ones((len(list(texts)), 8), np.float32)
    return {"embeddings": base64.b64encode(vector_bytes(matrix)).decode(), "embedding_version": version}


def store_at(url: str) -> dict:
    return {"url": url, "timeout_ms": 2000, "share": 1}


async def ask(client: httpx.AsyncClient, **fields: object) -> dict:
    response = await client.post("/recommend", json={"photo_id": "p1", **fields})
    assert response.status_code == 200, response.text
    return response.json()


async def until_healthy(client: httpx.AsyncClient) -> dict:
    """Ask until the store answers again; the circuit breaker retries Redis."""
    async with asyncio.timeout(30):
        while (answer := await ask(client))["degraded"]:
            await asyncio.sleep(0.02)
    return answer


async def test_stored_evidence_is_answered_with_the_real_engine(bundle_path, redis_server, tmp_path):
    load(redis_server.url, tmp_path, PHOTO, USER)
    app = create_app(settings_for(bundle_path, store=store_at(redis_server.url)))
    async with running(app) as client:
        answer = await ask(client, user_id="u1", explain=True)
    assert answer["degraded"] == []
    assert answer["explain"]["evidence"]["text"] == "travel camera"
    assert answer["explain"]["evidence"]["personal"] == ["travel camera lens"]
    assert answer["timings_ms"]["feature_store"] > 0
    assert answer["timings_ms"]["encode"] > 0
    assert len(answer["explain"]["hypotheses"]) == 8


async def test_a_service_starts_without_redis_and_uses_it_later(bundle_path, stopped_redis_server, tmp_path):
    app, engine = scripted_app(settings_for(bundle_path, store=store_at(stopped_redis_server.url)))
    engine.say(spoken(app.state.instance.parts.bundle, "camera lens"))
    async with running(app) as client:
        assert (await client.get("/readyz")).status_code == 200
        unknown = await ask(client, user_id="u1")
        assert (unknown["decision"], unknown["reason"]) == ("abstain", "no_evidence")
        assert set(unknown["degraded"]) <= DOWN
        assert unknown["degraded"]
        inline = await ask(client, evidence={"caption": "garden hose"})
        assert (inline["decision"], bool(inline["degraded"])) == ("recommend", True)
        await asyncio.to_thread(stopped_redis_server.start)
        await asyncio.to_thread(load, stopped_redis_server.url, tmp_path, PHOTO)
        assert (await until_healthy(client))["decision"] == "recommend"


@pytest.mark.parametrize("outage", ["kill", "pause"])
async def test_an_outage_of_redis_under_load_degrades_answers_without_errors(
    bundle_path, redis_server, tmp_path, outage
):
    load(redis_server.url, tmp_path, PHOTO, USER)
    store = {"url": redis_server.url, "timeout_ms": 200, "share": 1}
    app, engine = scripted_app(settings_for(bundle_path, store=store))
    engine.say(spoken(app.state.instance.parts.bundle, "camera lens"))
    async with running(app) as client:
        await until_healthy(client)
        lost, answers = asyncio.Event(), []
        flowing = asyncio.Event()

        async def load_until_lost() -> None:
            after = 0
            while after < 20:
                response = await client.post("/recommend", json=INLINE)
                answers.append((response.status_code, response.json()))
                after += lost.is_set()
                if len(answers) == 40:
                    flowing.set()

        workers = [asyncio.create_task(load_until_lost()) for _ in range(4)]
        await flowing.wait()
        await asyncio.to_thread(getattr(redis_server, outage))
        lost.set()
        await asyncio.gather(*workers)
        assert {status for status, _ in answers} == {200}
        assert {answer["decision"] for _, answer in answers} == {"recommend"}
        assert any(not answer["degraded"] for _, answer in answers)
        assert set(answers[-1][1]["degraded"]) & DOWN
        assert (await client.get("/readyz")).status_code == 200
        metrics = await metrics_of(app)
        counted = [line for line in metrics.splitlines() if line.startswith("onebar_feature_store_errors_total")]
        assert sum(float(line.rsplit(" ", 1)[1]) for line in counted) >= 20
        await asyncio.to_thread(redis_server.resume if outage == "pause" else redis_server.start)
        if outage == "kill":
            await asyncio.to_thread(load, redis_server.url, tmp_path, PHOTO)
        assert (await until_healthy(client))["decision"] == "recommend"


async def test_another_embedding_version_omits_the_personal_part_and_degrades_the_answer(
    bundle_path, redis_server, tmp_path
):
    current, other = USER | {"user_id": "current"}, USER | {"user_id": "other"}
    load(
        redis_server.url,
        tmp_path,
        PHOTO,
        current | encoded(USER["queries"], EMBEDDING_VERSION),
        other | encoded(USER["queries"], "another-1"),
    )
    app, engine = scripted_app(settings_for(bundle_path, store=store_at(redis_server.url)))
    engine.say(spoken(app.state.instance.parts.bundle, "camera lens"))
    async with running(app) as client:
        good = await ask(client, user_id="current", explain=True)
        assert (good["degraded"], good["explain"]["evidence"]["personal"]) == ([], ["travel camera lens"])
        skipped = await ask(client, user_id="other", explain=True)
        assert skipped["degraded"] == ["embedding_version"]
        assert skipped["explain"]["evidence"]["personal"] == []
        assert skipped["decision"] == "recommend"


async def test_shown_queries_are_shared_by_all_instances(bundle_path, redis_server, tmp_path):
    load(redis_server.url, tmp_path, PHOTO)
    rules = tmp_path / "rules.yaml"
    rules.write_text("recently_shown: {window_seconds: 600}\n")
    settings, headers = with_key(settings_for(bundle_path, store=store_at(redis_server.url), rules=rules), tmp_path)

    async def first_query_for(user_id: str) -> str:
        app, engine = scripted_app(settings)
        engine.say(spoken(app.state.instance.parts.bundle, "camera lens", "camera bag"))
        async with running(app) as client:
            client.headers.update(headers)
            answer = await ask(client, user_id=user_id, num_queries=1)
        return answer["queries"][0]["query"]

    assert [await first_query_for("u1"), await first_query_for("u1"), await first_query_for("u2")] == [
        "camera lens", "camera bag", "camera lens",
    ]  # fmt: skip


async def test_events_are_written_to_a_stream_of_bounded_length(bundle_path, redis_server, tmp_path):
    events = {
        "sink": "redis_stream", "url": redis_server.url, "stream": "bar", "stream_max_length": 100,
        "spool_path": tmp_path / "spool",
    }  # fmt: skip
    app, engine = scripted_app(settings_for(bundle_path, events=events))
    engine.say(spoken(app.state.instance.parts.bundle, "camera lens"))
    async with running(app) as client:
        for number in range(300):
            await ask(client, request_id=f"r{number}", evidence={"caption": "garden hose"})
    with redis_server.client() as reader:
        entries = reader.xrevrange("bar", count=1)
        assert 100 <= reader.xlen("bar") < 300
    event = json.loads(entries[0][1][b"event"])
    assert (event["request_id"], event["decision"]) == ("r299", "recommend")
    assert event["hypotheses"][0]["query"] == "camera lens"


async def test_an_outage_of_the_stream_loses_no_answer_and_no_event(bundle_path, stopped_redis_server, tmp_path):
    events = {"sink": "redis_stream", "url": stopped_redis_server.url, "spool_path": tmp_path / "spool"}
    app, engine = scripted_app(settings_for(bundle_path, events=events))
    engine.say(spoken(app.state.instance.parts.bundle, "camera lens"))
    async with running(app) as client:
        for _ in range(5):
            assert (await ask(client, evidence={"caption": "garden hose"}))["decision"] == "recommend"
    metrics = app.state.instance.metrics.render().decode()
    assert "onebar_events_spooled_total 5.0" in metrics
    with pytest.raises(redis.ConnectionError), stopped_redis_server.client() as reader:
        reader.ping()
    stopped_redis_server.start()
    async with running(create_app(settings_for(bundle_path, events=events))):
        pass
    with stopped_redis_server.client() as reader:
        assert reader.xlen("onebar:events") == 5


async def test_a_stream_on_the_server_of_the_store_is_refused_before_anything_starts(
    bundle_path, redis_server, tmp_path
):
    events = {"sink": "redis_stream", "url": redis_server.url, "spool_path": tmp_path / "spool"}
    with pytest.raises(ConfigurationError, match="server of the feature store"):
        create_app(settings_for(bundle_path, store=store_at(redis_server.url), events=events))
