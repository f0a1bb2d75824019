"""A service whose bundle has a trained embedder, on evidence that was published with it, and with another one."""

from __future__ import annotations

import asyncio
import base64
import shutil
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from evidence.embedder import Embedder, HashedEmbedder
from feature_store.rows import vector_bytes
from tests.fixtures.serving import (
    admin_client,
    bundle_path,
    metrics_of,
    running,
    scripted_app,
    settings_for,
    spoken,
    total,
)
from tests.fixtures.tiny_embedder import (
    TRANSFORMER_VERSION,
    build_tiny_embedder,
    build_transformer_folder,
    put_embedder,
)
from tests.integration.publications import Shop
from tests.integration.redis_servers import RedisServer

__all__ = ["bundle_path"]

HASHED = HashedEmbedder()
MEANINGS = ["sneaker runner shoe", "kettle boiler teapot", "light red"]
PAST = ["sneaker", "boiler red"]


@pytest.fixture
def shop(redis_server: RedisServer, tmp_path: Path) -> Shop:
    (tmp_path / "out").mkdir()
    return Shop(redis_server.url, tmp_path / "out")


@pytest.fixture
def trained(tmp_path: Path) -> Embedder:
    return build_tiny_embedder(tmp_path / "embedder", MEANINGS, {"personal_threshold": 0.65})


@pytest.fixture
def bundle(bundle_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle_path, tmp_path / "bundle"))


def packed(vectors: Any, version: str, name: str) -> dict[str, str]:
    return {name: base64.b64encode(vector_bytes(vectors)).decode(), "embedding_version": version}


def video(photo_id: str, caption: str, embedder: Embedder) -> dict[str, Any]:
    """Return the row of a video with its vector, as `onebar offline evidence --embedder` makes it."""
    vector = packed(embedder.embed([caption]), embedder.version, "embedding")
    return {"photo_id": photo_id, "caption": caption, **vector}


def viewer(user_id: str, embedder: Embedder) -> dict[str, Any]:
    vectors = packed(embedder.embed(PAST), embedder.version, "embeddings")
    return {"user_id": user_id, "queries": PAST, **vectors}


async def publish(shop: Shop, videos: list[dict[str, Any]], *viewers: dict[str, Any]) -> None:
    if viewers:
        shop.write(list(viewers), "users.jsonl")
    await asyncio.to_thread(shop.publish, videos)


def app_of(bundle: Path, shop: Shop) -> Any:
    app, engine = scripted_app(settings_for(bundle, store={"url": shop.url, "timeout_ms": 2000, "share": 1}))
    engine.say(spoken(app.state.instance.parts.bundle, "red runner"))
    return app


async def ask(client: httpx.AsyncClient, photo_id: str, **fields: object) -> tuple[list[str], list[str]]:
    """Return the personal queries of an answer, and what it lacks."""
    response = await client.post("/recommend", json={"photo_id": photo_id, "explain": True, **fields})
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["decision"] == "recommend"
    return answer["explain"]["evidence"]["personal"], answer["degraded"]


async def test_the_personal_part_follows_the_embedder_of_the_bundle(
    bundle: Path, shop: Shop, trained: Embedder, tmp_path: Path
) -> None:
    await publish(shop, [video("p1", "light runner", trained)], viewer("u1", trained))
    app = app_of(put_embedder(bundle, tmp_path / "embedder"), shop)
    async with running(app) as client:
        assert await ask(client, "p1", user_id="u1") == (["sneaker"], [])
        assert await ask(client, "p1", recent_queries=["shoe", "teapot"]) == (["shoe"], [])
        inline = {"evidence": {"caption": "kettle"}, "recent_queries": ["teapot", "shoe"]}
        assert await ask(client, "p1", user_id="u1", **inline) == (["teapot", "boiler red"], [])
        async with admin_client(app) as admin:
            assert (await admin.get("/version")).json()["embedding_version"] == trained.version
        assert f'embedding_version="{trained.version}"' in await metrics_of(app)


async def test_vectors_of_another_embedder_are_left_out_and_reported_until_all_are_published_again(
    bundle: Path, shop: Shop, trained: Embedder, tmp_path: Path
) -> None:
    old, new = video("p1", "red sneaker", HASHED), video("p2", "red sneaker", trained)
    await publish(shop, [old, new], viewer("old", HASHED), viewer("new", trained))
    app = app_of(put_embedder(bundle, tmp_path / "embedder"), shop)
    async with running(app) as client:
        reported = ["embedding_version"]
        assert await ask(client, "p1", user_id="new", recent_queries=["shoe"]) == ([], reported)
        assert await ask(client, "p2", user_id="old", recent_queries=["shoe"]) == (["shoe"], reported)
        assert await ask(client, "p2", user_id="new", recent_queries=["shoe"]) == (["shoe", "sneaker"], [])
        assert total(await metrics_of(app), 'onebar_degraded_answers_total{cause="embedding_version"}') == 2
        await publish(shop, [video("p1", "red sneaker", trained), new], viewer("old", trained))
        assert await ask(client, "p1", user_id="old") == (["sneaker"], [])


async def test_a_bundle_without_an_embedder_compares_hashed_vectors_alone(
    bundle: Path, shop: Shop, trained: Embedder
) -> None:
    await publish(shop, [video("p1", "red sneaker", HASHED), video("p2", "red sneaker", trained)])
    async with running(app_of(bundle, shop)) as client:
        assert await ask(client, "p1", recent_queries=["sneaker", "shoe"]) == (["sneaker"], [])
        assert await ask(client, "p2", recent_queries=["sneaker"]) == ([], ["embedding_version"])


async def test_of_a_transformer_stored_vectors_are_used_and_other_texts_reported(
    bundle: Path, shop: Shop, tmp_path: Path
) -> None:
    put_embedder(bundle, build_transformer_folder(tmp_path / "transformer", 2, {"personal_threshold": 0.5}))
    near, far = [1.0, 0.0], [0.0, 1.0]
    vector = packed(np.array([near], np.float32), TRANSFORMER_VERSION, "embedding")
    vectors = packed(np.array([near, far], np.float32), TRANSFORMER_VERSION, "embeddings")
    videos = [{"photo_id": "p1", "caption": "runner", **vector}, {"photo_id": "p2", "caption": "runner"}]
    await publish(shop, videos, {"user_id": "u1", "queries": PAST, **vectors})
    async with running(app_of(bundle, shop)) as client:
        assert await ask(client, "p1", user_id="u1") == (["sneaker"], [])
        assert await ask(client, "p1", user_id="u1", recent_queries=["runner"]) == (["sneaker"], ["no_embedding"])
        assert await ask(client, "p2", user_id="u1") == ([], ["no_embedding"])
