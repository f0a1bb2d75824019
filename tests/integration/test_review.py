"""The reviewer's API of running services: a change reaches every instance, and so do answers in the event stream."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import redis

from service.http.review_wire import AnswersResponse
from service.operating.keys import create_key
from tests.fixtures.serving import bundle_path, running, scripted_app, settings_for, spoken
from tests.integration.redis_servers import RedisServer, wait_until
from tests.integration.serve_process import Served, serving

__all__ = ["bundle_path"]

ASK = {"photo_id": "p1", "evidence": {"caption": "red running shoes"}, "num_queries": 8}


def test_a_reviewer_blocks_and_pins_on_running_services(bundle_path: Path, tmp_path: Path) -> None:
    keys, rules = tmp_path / "keys.json", tmp_path / "rules.yaml"
    rules.write_text("# nothing yet\n{}\n")
    feed, reviewer = (
        {"authorization": f"Bearer {create_key(keys, name, permissions)[1]}"}
        for name, permissions in (("feed", ("explain",)), ("trust-and-safety", ("review",)))
    )
    options = {"DEFAULT_DEADLINE_MS": "10000", "REVIEW__ANSWERS": "10", "REVIEW__PUBLIC": "true"}
    arguments = ("--rules", str(rules), "--keys", str(keys))

    def shown(service: Served) -> list[str]:
        status, answer = service.post(ASK, headers=feed)
        assert status == 200
        return [item["query"] for item in answer["queries"]]

    def review(service: Served, path: str) -> dict[str, Any]:
        status, text = service.get(path, headers=reviewer)
        assert status == 200, text
        body: dict[str, Any] = json.loads(text)
        return body

    def is_gone(service: Served) -> bool:
        return unwanted not in shown(service)

    with serving(bundle_path, *arguments, **options) as first, serving(bundle_path, *arguments, **options) as second:
        unwanted, *others = shown(first)
        assert shown(second) == [unwanted, *others]
        version = review(first, "/review/rules")["version"]
        block = {"kind": "block_query", "query": unwanted, "reason": "a complaint", "version": version}
        assert first.post(block, "/review/rules", headers=feed)[0] == 403
        with ThreadPoolExecutor(2) as pool:
            outcomes = list(pool.map(lambda service: service.post(block, "/review/rules", headers=reviewer),
                                     (first, second)))  # fmt: skip
        assert sorted(status for status, _ in outcomes) == [200, 409]
        for service in (first, second):
            wait_until(partial(is_gone, service), "the block")
        pin = {"kind": "pin_query", "query": "spring sale", "photo_id": "p1", "reason": "a campaign"}
        version = review(first, "/review/rules")["version"]
        assert first.post(pin | {"version": version}, "/review/rules", headers=reviewer)[0] == 200
        assert shown(first)[0] == "spring sale"
        wait_until(lambda: shown(second)[0] == "spring sale", "the pin on the other instance")
        latest = review(first, "/review/answers?limit=1&query=spring")["answers"][0]
        assert (latest["queries"][0]["rule"], latest["rules_version"]) == (
            "pinned", review(first, "/review/rules")["version"],
        )  # fmt: skip
        changes = review(second, "/review/rules")["changes"]
    assert [(change["kind"], change["who"]) for change in changes] == [
        ("pin_query", "trust-and-safety"), ("block_query", "trust-and-safety"),
    ]  # fmt: skip


async def test_answers_are_found_in_the_event_stream(
    bundle_path: Path, tmp_path: Path, redis_server: RedisServer
) -> None:
    events = {"sink": "redis_stream", "url": redis_server.url, "spool_path": tmp_path / "spool"}
    settings = settings_for(bundle_path, events=events, review={"public": True, "without_key": True},
                            privacy={"raw_user_ids": False})  # fmt: skip
    local = {"host": "127.0.0.1"}
    with closing(redis.Redis.from_url(redis_server.url)) as stream:
        stream.xadd("onebar:events", {"event": b"no event"})
        stream.xadd("onebar:events", {"event": b'{"time_ms": "x"}'})
        stream.xadd("onebar:events", {"other": b"[]"})
        app, engine = scripted_app(settings)
        engine.say(spoken(app.state.instance.parts.bundle, "running shoes"))
        async with running(app) as client:
            for number in range(130):  # more than one page
                body = ASK | {"request_id": f"r{number}", "user_id": "u1"}
                assert (await client.post("/recommend", json=body)).status_code == 200
            wait_until(lambda: stream.xlen("onebar:events") == 133, "the events")
            able = (await client.get("/review", headers=local)).json()["answers"]
            assert able == {"available": True, "source": "event_stream", "capacity": 2000, "because": None}
            newest = (await client.get("/review/answers?limit=2", headers=local)).json()
            AnswersResponse.model_validate(newest, strict=True)
            assert [answer["request_id"] for answer in newest["answers"]] == ["r129", "r128"]
            assert newest["answers"][0]["viewer"] not in (None, "u1")
            (oldest,) = (await client.get("/review/answers?request_id=r0", headers=local)).json()["answers"]
            assert [item["query"] for item in oldest["queries"]] == ["running shoes"]
            none = (await client.get("/review/answers?query=never+generated", headers=local)).json()["answers"]
            assert none == []
            redis_server.kill()
            refused = await client.get("/review/answers", headers=local)
    assert (refused.status_code, refused.json()["error"]) == (404, "not_available")
    assert refused.json()["message"] == "The event stream cannot be read: its server does not answer."
