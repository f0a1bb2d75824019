"""A running service sees a publication with its next request, whatever it has in its caches."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from evidence.embedding import EMBEDDING_VERSION, embed
from feature_store.rows import vector_bytes
from tests.fixtures.serving import bundle_path, running, scripted_app, settings_for, spoken
from tests.integration.publications import Rows, Shop
from tests.integration.redis_servers import RedisServer

__all__ = ["bundle_path"]

CAMERA = {"photo_id": "p1", "caption": "travel camera"}
HOSE = {"photo_id": "p2", "caption": "garden hose"}


@pytest.fixture
def shop(redis_server: RedisServer, tmp_path: Path) -> Shop:
    folder = tmp_path / "out"
    folder.mkdir()
    return Shop(redis_server.url, folder)


async def published(shop: Shop, rows: Rows) -> None:
    await asyncio.to_thread(shop.publish, rows)


async def ask(client: httpx.AsyncClient, photo_id: str, **fields: object) -> dict[str, Any]:
    response = await client.post("/recommend", json={"photo_id": photo_id, "explain": True, **fields})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def app_on(bundle_path: Path, shop: Shop) -> tuple[Any, Any]:
    store = {"url": shop.url, "timeout_ms": 2000, "share": 1}
    cache = {"max_bytes": 1_000_000, "ttl_seconds": 600}
    app, engine = scripted_app(settings_for(bundle_path, store=store, result_cache=cache))
    engine.say(spoken(app.state.instance.parts.bundle, "camera lens"))
    return app, engine


async def test_the_next_request_sees_a_change_a_removal_and_a_restoration(bundle_path: Path, shop: Shop) -> None:
    await published(shop, [CAMERA, HOSE])
    app, engine = app_on(bundle_path, shop)
    async with running(app) as client:
        warmed = len(engine.seen)
        first = await ask(client, "p1")
        assert (await ask(client, "p1"))["evidence_version"] == first["evidence_version"]
        assert len(engine.seen) == warmed + 1, "the second answer comes from the result cache"
        await published(shop, [CAMERA | {"caption": "underwater camera"}, HOSE])
        changed = await ask(client, "p1")
        assert changed["explain"]["evidence"]["text"] == "underwater camera"
        assert changed["evidence_version"] != first["evidence_version"]
        assert len(engine.seen) == warmed + 2
        await published(shop, [HOSE])
        assert (await ask(client, "p1"))["reason"] == "no_evidence"
        await asyncio.to_thread(shop.restore)
        assert (await ask(client, "p1"))["explain"]["evidence"]["text"] == "underwater camera"


async def test_while_the_embedder_changes_videos_of_the_other_version_lose_the_personal_part_only(
    bundle_path: Path, shop: Shop
) -> None:
    def with_vector(row: dict[str, Any], version: str) -> dict[str, Any]:
        vector = embed([row["caption"]]) if version == EMBEDDING_VERSION else np.ones((1, 8), np.float32)
        return row | {"embedding": base64.b64encode(vector_bytes(vector)).decode(), "embedding_version": version}

    await published(shop, [with_vector(CAMERA, EMBEDDING_VERSION), with_vector(HOSE, "another-1")])
    app, _ = app_on(bundle_path, shop)
    async with running(app) as client:
        old = await ask(client, "p1", recent_queries=["travel camera lens"])
        assert (old["degraded"], old["explain"]["evidence"]["personal"]) == ([], ["travel camera lens"])
        new = await ask(client, "p2", recent_queries=["garden hose reel"])
        assert (new["degraded"], new["explain"]["evidence"]["personal"]) == (["embedding_version"], [])
        assert (new["decision"], new["explain"]["evidence"]["text"]) == ("recommend", "garden hose")
