"""The store, the events and the logs have one pseudonym of the user id that a caller sends, and never the id."""

from __future__ import annotations

import json
import logging
from contextlib import closing
from pathlib import Path

import pytest

from feature_store.keys import shown_key, user_key
from feature_store.loader import load_path
from feature_store.pseudonym import make_key_file, read_key_ring
from feature_store.publish import open_writer
from service.errors import ConfigurationError
from service.parts import build_parts
from service.settings import Settings
from tests.fixtures.serving import bundle_path, metrics_of, running, scripted_app, settings_for, spoken, with_key
from tests.integration.redis_servers import RedisServer

__all__ = ["bundle_path"]

USER = "alice@example.org"
RULES = "recently_shown: {window_seconds: 3600}\n"
REQUEST = {"photo_id": "p1", "user_id": USER, "evidence": {"caption": "travel camera"}, "explain": True}


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "users.key"
    make_key_file(path)
    return path


@pytest.fixture
def settings(bundle_path: Path, tmp_path: Path, key: Path, redis_server: RedisServer) -> Settings:
    (tmp_path / "rules.yaml").write_text(RULES)
    return settings_for(
        bundle_path,
        store={"url": redis_server.url, "timeout_ms": 2000, "share": 1},
        events={"path": str(tmp_path / "events.jsonl")},
        rules=tmp_path / "rules.yaml",
        privacy={"key_file": key},
        log_level="debug",
    )


async def test_the_store_the_shown_list_and_events_use_one_pseudonym_of_a_user(
    settings: Settings, tmp_path: Path, key: Path, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    ring = read_key_ring(key)
    pseudonym = ring.pseudonym(USER)
    table = tmp_path / "users.jsonl"
    table.write_text(json.dumps({"user_id": USER, "queries": ["travel camera lens"]}) + "\n")
    with closing(open_writer(redis_server.url)) as writer:
        assert load_path(table, writer, key_ring=ring).written == 1
    keyed, headers = with_key(settings, tmp_path, "explain")
    app, engine = scripted_app(keyed)
    engine.say(spoken(app.state.instance.parts.bundle, "camera lens"))
    async with running(app) as client:
        answers = []
        for _ in range(2):
            response = await client.post("/recommend", json=REQUEST, headers=headers)
            answers.append(response.json())
            await app.state.instance.serving.shown.flush()
        metrics = await metrics_of(app)
    assert answers[0]["explain"]["evidence"]["personal"] == ["travel camera lens"], "the stored history is found"
    assert answers[1]["explain"]["hypotheses"][0]["rule"] == "recently_shown", "and so is what was shown"
    with redis_server.client() as client_:
        keys = {name.decode() for name in client_.scan_iter()}
        dump = b"".join(client_.dump(name) for name in keys)
    assert keys == {user_key(pseudonym), shown_key(pseudonym)}
    events = (tmp_path / "events.jsonl").read_text()
    assert [json.loads(line)["user_id"] for line in events.splitlines()] == [pseudonym] * 2
    for words in (events, metrics, caplog.text, str(keys), repr(dump), json.dumps(answers)):
        assert USER not in words
    assert "onebar_feature_store_circuit 0.0" in metrics


async def test_a_pseudonym_sent_by_a_caller_is_treated_as_an_id(settings: Settings, key: Path, tmp_path: Path) -> None:
    stolen = read_key_ring(key).pseudonym(USER)
    app, engine = scripted_app(settings)
    engine.say(spoken(app.state.instance.parts.bundle, "camera lens"))
    async with running(app) as client:
        await client.post("/recommend", json=REQUEST | {"user_id": stolen})
    (line,) = (tmp_path / "events.jsonl").read_text().splitlines()
    assert json.loads(line)["user_id"] == read_key_ring(key).pseudonym(stolen) != stolen


@pytest.mark.parametrize("url", ["redis://localhost:6379/0", "sqlite:///evidence.db"])
def test_a_persistent_store_needs_a_key_file_or_raw_ids(bundle_path: Path, url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"onebar privacy new-key FILE.*ONEBAR_PRIVACY__RAW_USER_IDS"):
        build_parts(settings_for(bundle_path, store={"url": url}, privacy={}))


def test_an_unusable_key_file_is_reported_in_one_sentence(bundle_path: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is not there"):
        build_parts(settings_for(bundle_path, privacy={"key_file": tmp_path / "none.key"}))


async def test_a_store_in_memory_has_a_random_key(bundle_path: Path, tmp_path: Path) -> None:
    table = tmp_path / "users.jsonl"
    table.write_text(json.dumps({"user_id": USER, "queries": ["travel camera lens"]}) + "\n")
    settings = settings_for(
        bundle_path,
        store={"url": "memory://", "evidence": [table], "timeout_ms": 2000, "share": 1},
        events={"path": str(tmp_path / "events.jsonl")},
        privacy={},
    )
    app, engine = scripted_app(settings)
    engine.say(spoken(app.state.instance.parts.bundle, "camera lens"))
    async with running(app) as client:
        answer = (await client.post("/recommend", json=REQUEST)).json()
    assert answer["explain"]["evidence"]["personal"] == ["travel camera lens"]
    assert USER not in (tmp_path / "events.jsonl").read_text()
