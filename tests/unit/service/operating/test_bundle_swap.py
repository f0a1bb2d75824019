"""A running service changes its bundle: with the real engine, under requests, and without a failed one."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import threading
import weakref
from pathlib import Path
from typing import Any

import httpx

from benchmarks.bundle_variants import bundle_variant
from service.http.app import create_app
from service.operating import candidate
from service.operating.promotion import promote, rollback
from tests.fixtures.serving import admin_client, metrics_of, running, total
from tests.unit.service.operating.conftest import ask, follow


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
