"""The result cache over HTTP: equal requests share a generation; the policy is applied to each request."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from generation.errors import RequestFailed
from service.settings import Settings
from tests.fixtures.serving import generation, metrics_of, running, scripted_app, settings_for, spoken, until, with_key

HOSE = {"photo_id": "new", "evidence": {"caption": "garden hose"}, "explain": True}


@pytest.fixture
def settings(bundle_path: Path, tmp_path: Path) -> Settings:
    (tmp_path / "rules.yaml").write_text("recently_shown: {window_seconds: 600}\n")
    return settings_for(bundle_path, rules=tmp_path / "rules.yaml", result_cache={"max_bytes": 1_000_000})


def queries(answer: dict) -> list[str]:
    return [item["query"] for item in answer["queries"]]


async def test_an_equal_request_is_answered_from_the_cache(settings):
    app, engine = scripted_app(settings)
    engine.say(spoken(app.state.instance.parts.bundle, "garden hose", "hose reel"))
    async with running(app) as client:
        warm = len(engine.seen)
        first, second = [(await client.post("/recommend", json=HOSE)).json() for _ in range(2)]
        metrics = await metrics_of(app)
    assert len(engine.seen) == warm + 1
    assert [answer["explain"]["cache"] for answer in (first, second)] == ["miss", "hit"]
    assert queries(first) == queries(second) == ["garden hose", "hose reel"]
    assert (first["timings_ms"]["decode"], second["timings_ms"]["decode"]) == (2.0, 0.0)
    assert 'onebar_result_cache_lookups_total{result="hit"} 1.0' in metrics
    assert "onebar_result_cache_entries 1.0" in metrics


async def test_the_policy_and_shown_queries_are_per_request_with_a_shared_generation(settings, tmp_path):
    keyed, headers = with_key(settings, tmp_path, "explain")
    app, engine = scripted_app(keyed)
    instance = app.state.instance
    engine.say(spoken(instance.parts.bundle, "garden hose", "hose reel"))
    async with running(app) as client:

        async def ask(user_id: str, num_queries: int = 1) -> list[str]:
            body = HOSE | {"user_id": user_id, "num_queries": num_queries}
            answer = (await client.post("/recommend", json=body, headers=headers)).json()
            await instance.serving.shown.flush()
            return queries(answer)

        warm = len(engine.seen)
        assert [await ask("u1"), await ask("u1"), await ask("u2"), await ask("u3", 2)] == [
            ["garden hose"], ["hose reel"], ["garden hose"], ["garden hose", "hose reel"],
        ]  # fmt: skip
        assert len(engine.seen) == warm + 1


async def test_requests_with_different_sources_do_not_share_a_generation(settings):
    app, engine = scripted_app(settings)
    async with running(app) as client:
        warm = len(engine.seen)
        await client.post("/recommend", json=HOSE)
        await client.post("/recommend", json=HOSE | {"evidence": {"caption": "garden shed"}})
        await client.post("/recommend", json=HOSE | {"recent_queries": ["garden hose reel"]})
    assert len(engine.seen) == warm + 3


async def test_a_shared_generation_continues_after_its_first_request_is_cancelled(settings):
    app, engine = scripted_app(settings)
    engine.say(spoken(app.state.instance.parts.bundle, "garden hose"))
    async with running(app) as client:
        warm = len(engine.seen)
        engine.hold()
        first = asyncio.create_task(client.post("/recommend", json=HOSE))
        await until(lambda: engine.waiting == 1)
        others = [asyncio.create_task(client.post("/recommend", json=HOSE)) for _ in range(3)]
        admission = app.state.instance.serving.admission
        await until(lambda: (admission.inside, admission.approaching) == (4, 0))
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        engine.release()
        answers = [response.json() for response in await asyncio.gather(*others)]
    assert len(engine.seen) == warm + 1
    assert engine.left == []
    assert [answer["explain"]["cache"] for answer in answers] == ["joined"] * 3
    assert [queries(answer) for answer in answers] == [["garden hose"]] * 3


async def test_a_cut_answer_is_not_kept(settings):
    app, engine = scripted_app(settings)
    bundle = app.state.instance.parts.bundle
    async with running(app) as client:
        engine.say(spoken(bundle, "hose", deadline_reached=True))
        assert queries((await client.post("/recommend", json=HOSE)).json()) == ["hose"]
        engine.say(spoken(bundle, "garden hose"))
        assert queries((await client.post("/recommend", json=HOSE)).json()) == ["garden hose"]


async def test_a_failed_generation_is_not_kept(settings):
    app, engine = scripted_app(settings)
    async with running(app) as client:
        engine.error = RequestFailed("bad shapes")
        assert (await client.post("/recommend", json=HOSE)).status_code == 500
        engine.error = None
        assert (await client.post("/recommend", json=HOSE)).status_code == 200


async def test_a_cache_of_zero_bytes_keeps_and_shares_nothing(settings):
    off = settings.result_cache.model_copy(update={"max_bytes": 0})
    app, engine = scripted_app(settings.model_copy(update={"result_cache": off}))
    engine.say(generation([5]))
    async with running(app) as client:
        warm = len(engine.seen)
        responses = await asyncio.gather(*(client.post("/recommend", json=HOSE) for _ in range(3)))
    assert len(engine.seen) == warm + 3
    assert [response.json()["explain"]["cache"] for response in responses] == [None] * 3


async def test_the_rehearsal_does_not_change_metrics_or_the_cache(settings):
    app, engine = scripted_app(settings)
    async with running(app):
        assert engine.seen
        metrics = await metrics_of(app)
    samples = [line.rsplit(" ", 1) for line in metrics.splitlines() if line.startswith("onebar_")]
    told = {name for name, value in samples if float(value) and "_created" not in name}
    # The ids and vectors of its queries stay in caches that belong to the process.
    shared = {f"onebar_{cache}_cache_{what}" for cache in ("query", "vector") for what in ("entries", "bytes")}
    assert {name.partition("{")[0] for name in told} - shared == {
        "onebar_ready", "onebar_model_info", "onebar_bundles_loaded",
    }  # fmt: skip
    assert len(app.state.instance.serving.cache) == 0
