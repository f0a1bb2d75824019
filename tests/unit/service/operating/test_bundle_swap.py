"""A running service changes its bundle: with the real engine, under requests, and without a failed one."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import os
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI

from benchmarks.bundle_variants import bundle_variant
from service.http.app import create_app
from service.operating import candidate
from service.operating.promotion import CURRENT, promote, rollback
from service.settings import Settings
from tests.fixtures.serving import admin_client, metrics_of, running, settings_for, total

CAPTIONS = ("red running shoes", "camera", "winter coat for women, cheap and long", "tent")


@pytest.fixture(scope="module")
def bundles(bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two bundles that never abstain, of two versions."""
    folder = tmp_path_factory.mktemp("swap")
    return [bundle_variant(bundle_path, folder / str(n), {"reject": {"threshold": 1 - n / 1000}}) for n in range(2)]


@pytest.fixture
def versions(bundles: list[Path]) -> list[str]:
    return [json.loads((bundle / "manifest.json").read_text())["model_version"] for bundle in bundles]


@pytest.fixture
def settings(bundles: list[Path], tmp_path: Path) -> Settings:
    return settings_for(bundles[0], promotion={"folder": tmp_path / "promoted", "golden_share": 0})


@pytest.fixture
def promoted(settings: Settings) -> Path:
    return settings.promotion.folder


async def follow(app: FastAPI) -> None:
    """Look at the record once, and wait for the change."""
    app.state.swap.follow()
    await app.state.swap.settled()


async def ask(client: httpx.AsyncClient, number: int) -> dict:
    body = {"photo_id": f"p{number}", "evidence": {"caption": f"{CAPTIONS[number % len(CAPTIONS)]} {number}"}}
    response = await client.post("/recommend", json=body)
    assert response.status_code == 200, response.text
    return response.json()


async def test_no_request_fails_in_ten_swaps(settings, bundles, promoted, versions):
    app, answered, stop = create_app(settings), [], asyncio.Event()

    async def keep_asking(client: httpx.AsyncClient, first: int) -> None:
        number = first
        while not stop.is_set():
            answered.append((await ask(client, number))["model_version"])
            number += 4
            await asyncio.sleep(0.02)

    async with running(app) as client, asyncio.TaskGroup() as group:
        for first in range(4):
            group.create_task(keep_asking(client, first))
        for turn in range(1, 11):
            promote(promoted, bundles[turn % 2], f"swap {turn}")
            await follow(app)
            assert (await ask(client, 0))["model_version"] == versions[turn % 2]
        stop.set()
    assert app.state.swap.fault is None
    assert set(answered) == set(versions)


async def test_the_engine_of_before_is_freed_although_its_objects_are_frozen(settings, bundles, promoted):
    app = create_app(settings)
    instance = app.state.instance
    async with running(app) as client:
        await ask(client, 0)
        gc.freeze()  # as the server does at its start: what is in a cycle is never collected
        try:
            before = engine_threads()
            promote(promoted, bundles[1], "a")
            gone = [weakref.ref(instance.serving), *map(weakref.ref, parts_of_engine(instance))]
            await follow(app)
            assert [ref() for ref in gone] == [None] * len(gone)
            assert engine_threads() == before
            assert niceness(instance.runner._scheduler._thread.native_id) == niceness(threading.get_native_id())
        finally:
            gc.unfreeze()


def niceness(thread: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, thread)


def engine_threads() -> int:
    return sum(thread.name == "onebar-generation" for thread in threading.enumerate())


def parts_of_engine(instance: Any) -> list[Any]:
    """Return what takes the memory: graphs, lanes, and the tables of tokenizer and embedder."""
    scheduler = instance.runner._scheduler
    stepper = scheduler._loop.stepper
    bundle = instance.parts.bundle
    return [
        scheduler, stepper._encoder, stepper._decoder, *stepper._lanes.values(), instance.parts.renderer,
        instance.parts.personal, bundle.embedder,
    ]  # fmt: skip


async def test_a_request_that_began_before_the_switch_ends_with_the_old_bundle(settings, bundles, promoted, versions):
    """The slowest case: its body comes in two parts, and the bundle changes between them."""
    app, half_sent, rest = create_app(settings), asyncio.Event(), asyncio.Event()
    body = json.dumps({"photo_id": "p", "evidence": {"caption": "camera"}}).encode()
    answer: list[Any] = []
    messages = iter(((body[:9], True), (body[9:], False)))

    async def receive() -> Any:
        if half_sent.is_set():
            await rest.wait()
        half_sent.set()
        part = next(messages, None)
        if part is None:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": part[0], "more_body": part[1]}

    async def send(message: Any) -> None:
        answer.append(message)

    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": "/recommend", "raw_path": b"/recommend", "root_path": "", "query_string": b"", "headers": headers,
        "client": None, "server": None,
    }  # fmt: skip
    async with running(app) as client:
        slow = asyncio.create_task(app(scope, receive, send))
        await half_sent.wait()
        promote(promoted, bundles[1], "a")
        app.state.swap.follow()
        async with asyncio.timeout(30):
            while app.state.swap.state != "draining":
                await asyncio.sleep(0.01)
        assert (await ask(client, 1))["model_version"] == versions[1]
        rest.set()
        await slow
        await app.state.swap.settled()
    assert answer[0]["status"] == 200
    assert json.loads(answer[1]["body"])["model_version"] == versions[0]


async def test_a_rollback_returns_to_the_bundle_of_the_settings(settings, bundles, promoted, versions):
    app = create_app(settings)
    async with running(app) as client:
        promote(promoted, bundles[1], "a")
        await follow(app)
        rollback(promoted, "worse")
        await follow(app)
        assert (await ask(client, 0))["model_version"] == versions[0]
        async with admin_client(app) as admin:
            shown = (await admin.get("/bundle")).json()
    assert (shown["model_version"], shown["promoted"], shown["reason"]) == (versions[0], None, "worse")


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


async def test_a_promotion_while_another_bundle_is_loaded_takes_its_place(
    settings, bundles, promoted, versions, tmp_path, monkeypatch
):
    third = bundle_variant(bundles[1], tmp_path / "third", {"reject": {"threshold": 0.95}})
    app, loaded, served = create_app(settings), [], []
    swap, instance = app.state.swap, app.state.instance
    load = candidate._load

    def load_slowly(served: Any, path: Path, *rest: Any) -> Any:
        loaded.append(path)
        if len(loaded) == 1:
            promote(promoted, third, "b")
            swap.follow()  # nothing begins while one is loaded
        return load(served, path, *rest)

    monkeypatch.setattr(candidate, "_load", load_slowly)
    monkeypatch.setattr(instance, "switch", lambda new: served.append(new.parts.bundle.path) or switch(new))
    switch = type(instance).switch.__get__(instance)
    async with running(app) as client:
        promote(promoted, bundles[1], "a")
        await follow(app)
        assert (await ask(client, 0))["model_version"] == versions[0]
        await follow(app)
        assert (await ask(client, 0))["model_version"] not in versions
        metrics = await metrics_of(app)
    assert (loaded, served) == ([bundles[1], third], [third])
    assert total(metrics, 'onebar_bundle_swaps_total{outcome="replaced"}') == 1


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
