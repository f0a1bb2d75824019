"""The shadow: copies go to a candidate after the answer, are compared in the metrics, and are never shown."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from fastapi import FastAPI

from benchmarks.bundle_variants import bundle_variant
from service.http.app import create_app
from service.operating import shadow as shadow_module
from service.operating.promotion import promote
from service.settings import Settings
from tests.fixtures.serving import admin_client, metrics_of, running, settings_for, total

BODY = {"photo_id": "p1", "evidence": {"caption": "red running shoes"}}


@pytest.fixture(scope="module")
def candidate(bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shadow")
    return bundle_variant(bundle_path, folder / "candidate", {"reject": {"threshold": 0.999}})


@pytest.fixture
def settings(bundle_path: Path, candidate: Path, tmp_path: Path) -> Settings:
    shadow = {"bundle": candidate, "share": 1.0}
    return settings_for(bundle_path, shadow=shadow, promotion={"folder": tmp_path / "promoted", "golden_share": 0})


def shadow_threads() -> int:
    return sum(thread.name == "onebar-shadow" for thread in threading.enumerate())


def ends_now() -> bool:
    """Return whether no shadow runs. A thread that has freed its candidate may need a moment to leave the list."""
    for thread in threading.enumerate():
        if thread.name == "onebar-shadow":
            thread.join(5)
    return shadow_threads() == 0


@pytest.fixture(autouse=True)
async def earlier_shadows_have_ended() -> None:
    """An application that ends does not wait for the thread of its shadow."""
    async with asyncio.timeout(60):
        while shadow_threads():
            await asyncio.sleep(0.02)


async def counted(app: FastAPI, name: str, count: float) -> str:
    """Wait until a metric has a value, and return all metrics."""
    async with asyncio.timeout(60):
        while total(metrics := await metrics_of(app), name) != count:
            await asyncio.sleep(0.02)
    return metrics


async def test_a_candidate_with_the_same_weights_gives_the_same_queries(settings):
    app = create_app(settings)
    async with running(app) as client:
        answers = [(await client.post("/recommend", json=BODY | {"photo_id": f"p{n}"})).json() for n in range(3)]
        metrics = await counted(app, 'onebar_shadow_requests_total{outcome="compared"}', 3)
    decision = answers[0]["decision"]
    assert total(metrics, f'onebar_shadow_decisions_total{{candidate="{decision}",served="{decision}"}}') == 3
    assert total(metrics, 'onebar_shadow_first_queries_total{same="no"}') == 0
    assert total(metrics, "onebar_shadow_overlap_ratio_sum") == total(metrics, "onebar_shadow_overlap_ratio_count")
    assert {answer["model_version"] for answer in answers} == {app.state.instance.parts.bundle.model_version}


async def test_a_query_that_is_pinned_by_category_is_no_difference(settings, tmp_path):
    photos, rules = tmp_path / "photos.jsonl", tmp_path / "rules.yaml"
    photos.write_text('{"photo_id": "p1", "caption": "camera", "category": "cameras"}\n')
    rules.write_text("pinned_queries: [{query: winter sale, categories: [cameras]}]\n")
    store = settings.store.model_copy(update={"evidence": (photos,)})
    app = create_app(settings.model_copy(update={"store": store, "rules": rules}))
    async with running(app) as client:
        answer = (await client.post("/recommend", json=BODY | {"photo_id": "p1"})).json()
        assert answer["queries"][0]["query"] == "winter sale"
        metrics = await counted(app, 'onebar_shadow_requests_total{outcome="compared"}', 1)
    assert total(metrics, "onebar_shadow_overlap_ratio_sum") == total(metrics, "onebar_shadow_overlap_ratio_count")


async def test_copies_are_dropped_while_the_candidate_is_busy_and_answers_are_not_delayed(settings, monkeypatch):
    app, begun, go_on = create_app(settings), threading.Event(), threading.Event()

    def busy(*_: object) -> None:
        begun.set()
        assert go_on.wait(60)

    monkeypatch.setattr(shadow_module.Shadow, "_compare", busy)
    monkeypatch.setattr(shadow_module, "DELAY_SECONDS", 0)
    async with running(app) as client:
        try:
            assert (await client.post("/recommend", json=BODY)).status_code == 200
            await asyncio.to_thread(begun.wait, 60)
            for _ in range(shadow_module.MAX_WAITING + 3):
                assert (await client.post("/recommend", json=BODY)).status_code == 200
            await counted(app, 'onebar_shadow_requests_total{outcome="dropped"}', 3)
        finally:
            go_on.set()


async def test_a_failing_candidate_is_counted_and_does_not_end(settings, monkeypatch, caplog):
    app = create_app(settings)
    monkeypatch.setattr(shadow_module, "candidates_of", None)
    async with running(app) as client:
        for _ in range(2):
            assert (await client.post("/recommend", json=BODY)).status_code == 200
        await counted(app, 'onebar_shadow_requests_total{outcome="failed"}', 2)
    assert "the candidate failed on a copied request" in caplog.text


async def test_three_bundles_are_never_in_memory(settings, bundle_path, tmp_path):
    """The candidate is freed before the promoted bundle is loaded, and loaded again afterwards."""
    app = create_app(settings)
    swap, most = app.state.swap, 0
    promoted = bundle_variant(bundle_path, tmp_path / "third", {"reject": {"threshold": 0.9}})
    async with running(app):
        assert (swap.loaded, shadow_threads()) == (2, 1)
        promote(settings.promotion.folder, promoted, "a")
        swap.follow()
        changed = asyncio.ensure_future(swap.settled())
        while not changed.done():
            most = max(most, swap.loaded)
            assert swap.state == "idle" or ends_now()
            await asyncio.sleep(0.005)
        assert (most, swap.loaded, shadow_threads(), swap.fault) == (2, 2, 1, None)


async def test_the_candidate_ends_where_it_becomes_the_served_bundle(settings, candidate):
    app = create_app(settings)
    async with running(app):
        promote(settings.promotion.folder, candidate, "a")
        app.state.swap.follow()
        await app.state.swap.settled()
        assert app.state.swap.loaded == 1
        assert ends_now()


async def test_a_candidate_that_cannot_be_loaded_is_reported_and_answers_go_on(settings, tmp_path):
    shadow = settings.shadow.model_copy(update={"bundle": tmp_path})
    app = create_app(settings.model_copy(update={"shadow": shadow}))
    async with running(app) as client:
        assert (await client.post("/recommend", json=BODY)).status_code == 200
        async with admin_client(app) as admin:
            shown = (await admin.get("/bundle")).json()["shadow"]
    assert (shown["running"], "there is no manifest.json" in shown["fault"]) == (False, True)


async def test_without_a_share_nothing_is_copied_or_loaded(settings):
    app = create_app(settings.model_copy(update={"shadow": settings.shadow.model_copy(update={"share": 0.0})}))
    async with running(app):
        assert app.state.instance.serving.mirror is None
        assert (app.state.swap.loaded, shadow_threads()) == (1, 0)
