"""A service does not change to a bundle with a fault, and starts without it."""

from __future__ import annotations

import base64
import json
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.bundle_variants import bundle_variant
from service.errors import ConfigurationError
from service.http.app import create_app
from service.operating import candidate
from service.operating.promotion import CURRENT, promote, rollback
from service.settings import EventSettings
from tests.fixtures.serving import admin_client, metrics_of, running, total
from tests.unit.service.operating.conftest import CAPTIONS, ask, follow


def damage(bundle: Path) -> None:
    (bundle / "embeddings.bin").write_bytes(b"damaged")


def make_of_another_release(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps(manifest | {"schema_version": 99}))


def remove(bundle: Path) -> None:
    bundle.rename(bundle.with_name("away"))


def ask_for_what_is_no_request(bundle: Path) -> None:
    (bundle / "golden_requests.jsonl").write_text('{"photo": "p1"}\n')


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (damage, "embeddings.bin"),
        (make_of_another_release, "schema version 99"),
        (remove, "there is no manifest.json"),
        (ask_for_what_is_no_request, "line 1 of the golden requests"),
    ],
)
async def test_a_candidate_with_a_fault_leaves_the_old_bundle_and_says_why(
    settings, bundles, promoted, versions, tmp_path, caplog, spoil: Callable[[Path], None], fault: str
):
    spoilt = bundle_variant(bundles[1], tmp_path / "spoilt", {})
    promote(promoted, spoilt, "a")
    (promoted / CURRENT).rename(promoted / "later")
    app = create_app(settings)
    async with running(app) as client:
        spoil(spoilt)
        (promoted / "later").rename(promoted / CURRENT)
        await follow(app)
        assert (await ask(client, 0))["model_version"] == versions[0]
        async with admin_client(app) as admin:
            shown = (await admin.get("/bundle")).json()
            assert (await admin.get("/readyz")).status_code == 200
        metrics = await metrics_of(app)
        app.state.swap.follow()  # it is not tried again before the record changes
        assert app.state.swap.state == "idle"
    assert fault in shown["fault"]
    assert shown["state"] == "idle"
    assert f"the promoted bundle is not served: {shown['fault']}" in caplog.text
    assert total(metrics, "onebar_bundle_refused") == 1
    assert total(metrics, 'onebar_bundle_swaps_total{outcome="refused"}') == 1
    assert total(metrics, "onebar_bundles_loaded") == 1


async def test_a_candidate_that_abstains_where_the_old_one_answers_is_refused_and_freed(
    bundles, settings, promoted, versions, tmp_path, monkeypatch
):
    mute = bundle_variant(bundles[1], tmp_path / "mute", {"reject": {"threshold": 0}})
    promotion = settings.promotion.model_copy(update={"golden_share": 0.8})
    app, gone, load = create_app(settings.model_copy(update={"promotion": promotion})), [], candidate._load

    def watched(*given: Any) -> Any:
        loaded = load(*given)
        gone.append(weakref.ref(loaded.stepper))
        return loaded

    monkeypatch.setattr(candidate, "_load", watched)
    async with running(app) as client:
        promote(promoted, mute, "a")
        await follow(app)
        assert [ref() for ref in gone] == [None]
        assert (await ask(client, 0))["decision"] == "recommend"
        assert "it answers 0 golden requests" in app.state.swap.fault
        promote(promoted, bundles[1], "b")
        await follow(app)
        assert app.state.swap.fault is None
        assert (await ask(client, 0))["model_version"] == versions[1]


async def test_a_bundle_whose_embedder_the_store_does_not_have_is_refused(bundles, settings, promoted, tmp_path):
    """Its viewers would lose their personal queries."""
    photos = tmp_path / "photos.jsonl"
    vector = base64.b64encode(np.ones(4, np.float16)).decode()
    row = {"caption": "camera", "embedding": vector, "embedding_version": "static-0123456789abcdef"}
    photos.write_text("".join(json.dumps({"photo_id": f"p{n}", **row}) + "\n" for n in range(3)))
    store = settings.store.model_copy(update={"evidence": (photos,)})
    app = create_app(settings.model_copy(update={"store": store}))
    async with running(app) as client:
        await ask(client, 0)
        promote(promoted, bundles[1], "a")
        await follow(app)
    assert "the store has vectors of static-0123456789abcdef" in app.state.swap.fault


async def test_a_process_starts_with_the_promoted_bundle(settings, bundles, promoted, versions):
    promote(promoted, bundles[1], "a")
    app = create_app(settings)
    async with running(app) as client:
        await follow(app)
        assert (await ask(client, 0))["model_version"] == versions[1]
    assert app.state.swap.fault is None


@pytest.mark.parametrize("content", [None, "{"])
async def test_a_process_starts_with_the_bundle_of_before_if_the_promoted_one_is_damaged(
    settings, bundles, promoted, versions, tmp_path, content
):
    spoilt = bundle_variant(bundles[1], tmp_path / "spoilt", {"reject": {"threshold": 0.95}})
    promote(promoted, bundles[1], "a")
    promote(promoted, spoilt, "b")
    if content is None:
        damage(spoilt)
    else:
        (promoted / CURRENT).write_text(content)
    app = create_app(settings)
    async with running(app) as client:
        await follow(app)
        assert (await ask(client, 0))["model_version"] == versions[content is None]
    assert app.state.swap.fault


async def test_a_process_does_not_start_with_a_promoted_bundle_that_abstains_on_golden_requests(
    settings, bundles, promoted, versions, tmp_path
):
    golden = tmp_path / "golden.jsonl"
    golden.write_text("".join(json.dumps({"photo_id": "g", "evidence": {"caption": c}}) + "\n" for c in CAPTIONS))
    promote(promoted, bundle_variant(bundles[1], tmp_path / "mute", {"reject": {"threshold": 0}}), "a")
    promotion = settings.promotion.model_copy(update={"golden_requests": golden, "golden_share": 0.8})
    app = create_app(settings.model_copy(update={"promotion": promotion}))
    async with running(app) as client:
        assert (await ask(client, 0))["model_version"] == versions[0]
        app.state.swap.follow()
        assert app.state.swap.state == "idle"  # it is not loaded a second time
    assert "it answers 0 golden requests" in app.state.swap.fault


async def test_of_the_built_in_golden_requests_a_new_bundle_must_answer_one(
    bundles, settings, promoted, versions, monkeypatch
):
    answers = iter([1, 6, 0, 6])

    async def counted(*_: Any) -> int:
        return next(answers)

    monkeypatch.setattr(candidate, "count_answered", counted)
    promotion = settings.promotion.model_copy(update={"golden_share": 0.8})
    app = create_app(settings.model_copy(update={"promotion": promotion}))
    async with running(app):
        promote(promoted, bundles[1], "a")
        await follow(app)
        assert app.state.swap.fault is None
        promote(promoted, bundles[0], "b")
        await follow(app)
        assert "it answers 0 golden requests, where 1 should be answered" in app.state.swap.fault


async def test_the_way_back_is_not_measured_by_the_bundle_that_is_left(
    bundles, settings, promoted, versions, monkeypatch
):
    """A good bundle may reject the built-in requests, which a bad one answers."""
    answers = iter([6, 6, 0])

    async def counted(*_: Any) -> int:
        return next(answers)

    monkeypatch.setattr(candidate, "count_answered", counted)
    promotion = settings.promotion.model_copy(update={"golden_share": 0.8})
    app = create_app(settings.model_copy(update={"promotion": promotion}))
    async with running(app) as client:
        promote(promoted, bundles[1], "a")
        await follow(app)
        rollback(promoted, "worse")
        await follow(app)
        assert app.state.swap.fault is None
        assert (await ask(client, 0))["model_version"] == versions[0]


def test_a_wrong_event_setting_leaves_no_engine_behind(settings, bundles, promoted):
    promote(promoted, bundles[1], "a")
    before = {thread for thread in threading.enumerate() if thread.name == "onebar-generation"}
    with pytest.raises(ConfigurationError):
        create_app(settings.model_copy(update={"events": EventSettings(sink="redis_stream")}))
    assert {thread for thread in threading.enumerate() if thread.name == "onebar-generation"} <= before
