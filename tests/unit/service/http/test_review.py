"""The reviewer's API: who may use it, recent answers, and changes of the rules."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.http import review_wire
from service.http.app import create_app
from service.settings import ReviewSettings, Settings
from tests.fixtures.serving import admin_client, metrics_of, running, scripted_app, settings_for, spoken, with_key

ASK = {"photo_id": "new", "evidence": {"caption": "garden hose"}}
LOCAL = {"host": "127.0.0.1:8000"}
BLOCK = {"kind": "block_query", "query": "hose reel", "reason": "a complaint"}


@pytest.fixture
def settings(bundle_path: Path, tmp_path: Path) -> Settings:
    (tmp_path / "rules.yaml").write_text("{}\n")
    review = {"answers": 3, "public": True, "without_key": True}
    return settings_for(bundle_path, rules=tmp_path / "rules.yaml", review=review)


def changed(settings: Settings, **review: Any) -> Settings:
    return settings.model_copy(update={"review": ReviewSettings(**{"answers": 3, "public": True, **review})})


async def shown(client: httpx.AsyncClient, **headers: str) -> list[str]:
    answer = (await client.post("/recommend", json=ASK, headers=headers)).json()
    return [item["query"] for item in answer["queries"]]


async def version_of(client: httpx.AsyncClient, **headers: str) -> str:
    version: str = (await client.get("/review/rules", headers=LOCAL | headers)).json()["version"]
    return version


async def test_a_blocked_query_disappears_and_a_pinned_one_appears_at_once(settings: Settings) -> None:
    app, engine = scripted_app(settings)
    engine.say(spoken(app.state.instance.parts.bundle, "garden hose", "hose reel"))
    async with running(app) as client:
        assert await shown(client) == ["garden hose", "hose reel"]
        response = await client.post("/review/rules", json=BLOCK | {"version": await version_of(client)}, headers=LOCAL)
        assert response.status_code == 200, response.text
        review_wire.RulesChangeResponse.model_validate(response.json(), strict=True)
        assert response.json()["in_force_here"]
        assert await shown(client) == ["garden hose"]
        pin = {"kind": "pin_query", "query": "winter sale", "photo_id": "new", "reason": "a campaign"}
        made = await client.post("/review/rules", json=pin | {"version": response.json()["version"]}, headers=LOCAL)
        assert made.status_code == 200
        assert await shown(client) == ["winter sale", "garden hose"]
        rules = (await client.get("/review/rules", headers=LOCAL)).json()
        metrics = await metrics_of(app)
        async with admin_client(app) as admin:
            assert (await admin.get("/version")).json()["rules_version"] == rules["version"]
    review_wire.RulesResponse.model_validate(rules, strict=True)
    assert (rules["version"], rules["fault"]) == (made.json()["version"], None)
    assert (rules["blocked_queries"], rules["blocked_queries_total"]) == (["hose reel"], 1)
    assert rules["pins"] == [{"query": "winter sale", "photo_id": "new", "category": None}]
    assert [(one["kind"], one["reason"], one["who"]) for one in rules["changes"]] == [
        ("pin_query", "a campaign", "loopback without a key"),
        ("block_query", "a complaint", "loopback without a key"),
    ]
    described = [line for line in metrics.splitlines() if line.startswith("onebar_model_info{")]
    assert len(described) == 1
    assert f'rules_version="{rules["version"]}"' in described[0]


async def test_of_two_concurrent_changes_one_is_made_and_one_is_a_conflict(settings: Settings) -> None:
    app, _ = scripted_app(settings)
    async with running(app) as client:
        version = await version_of(client)
        bodies = [BLOCK | {"query": query, "version": version} for query in ("hose reel", "garden shed")]
        responses = await asyncio.gather(*(client.post("/review/rules", json=body, headers=LOCAL) for body in bodies))
        (made,) = [response for response in responses if response.status_code == 200]
        (refused,) = [response for response in responses if response.status_code == 409]
        assert refused.json()["error"] == "conflict"
        review_wire.ConflictResponse.model_validate(refused.json(), strict=True)
        assert refused.json()["version"] == made.json()["version"] == await version_of(client)
        rules = (await client.get("/review/rules", headers=LOCAL)).json()
    assert rules["blocked_queries_total"] == len(rules["changes"]) == 1


async def test_recent_answers_are_found_by_video_query_and_request(settings: Settings) -> None:
    named = settings.model_copy(update={"privacy": settings.privacy.model_copy(update={"raw_user_ids": False})})
    app, engine = scripted_app(named)
    engine.say(spoken(app.state.instance.parts.bundle, "garden hose", "Garden-Hose"))
    async with running(app) as client:

        async def found(**parameters: Any) -> list[dict[str, Any]]:
            response = await client.get("/review/answers", params=parameters, headers=LOCAL)
            review_wire.AnswersResponse.model_validate(response.json(), strict=True)
            assert (response.json()["source"], response.json()["capacity"]) == ("memory", 3)
            assert response.headers["cache-control"] == "no-store"
            answers: list[dict[str, Any]] = response.json()["answers"]
            return answers

        for number in range(4):  # the oldest makes room
            await client.post("/recommend", json=ASK | {"photo_id": f"p{number}", "request_id": f"r{number}",
                                                        "user_id": "u1"})  # fmt: skip
        await client.post("/recommend", json={"photo_id": "unknown", "request_id": "none"})
        latest = await found()
        assert [answer["request_id"] for answer in latest] == ["none", "r3", "r2"]
        assert [answer["request_id"] for answer in await found(limit=1)] == ["none"]
        assert [answer["request_id"] for answer in await found(video="p3", query="")] == ["r3"]
        assert [answer["request_id"] for answer in await found(query="GARDEN hos")] == ["r3", "r2"]
        assert [answer["request_id"] for answer in await found(request_id="r2")] == ["r2"]
        assert [answer["request_id"] for answer in await found(request_id="r2", video="p3")] == []
        assert await found(query="!") == await found(query="\x00") == []
    abstained, answered = latest[:2]
    assert (abstained["decision"], abstained["reason"], abstained["viewer"]) == ("abstain", "no_evidence", None)
    assert (answered["decision"], answered["reason"]) == ("recommend", None)
    assert [(item["query"], item["verdict"], item["rule"]) for item in answered["queries"]] == [
        ("garden hose", "shown", None), ("Garden-Hose", "dropped", "duplicate"),
    ]  # fmt: skip
    assert answered["viewer"] not in (None, "u1")
    assert answered["rules_version"] == app.state.instance.parts.rules.version


async def test_an_answer_without_a_pseudonym_is_kept_without_its_viewer(settings: Settings) -> None:
    app, _ = scripted_app(settings)
    async with running(app) as client:
        await client.post("/recommend", json=ASK | {"user_id": "u1"})
        (answer,) = (await client.get("/review/answers", headers=LOCAL)).json()["answers"]
    assert answer["viewer"] is None


async def test_a_key_without_the_role_gets_403_and_no_key_401(settings: Settings, tmp_path: Path) -> None:
    keyed, feed = with_key(settings, tmp_path, "explain")
    _, reviewer = with_key(settings, tmp_path, "review")
    app, _ = scripted_app(keyed)
    async with running(app) as client, admin_client(app) as admin:
        for port in (client, admin):
            for method, path in (("GET", ""), ("GET", "/answers"), ("GET", "/rules"), ("POST", "/rules")):
                for headers, status in (({}, 401), (feed, 403)):
                    refused = await port.request(method, f"/review{path}", headers=headers, json={})
                    assert refused.status_code == status, (method, path)
                    assert "blocked_queries" not in refused.text
            assert (await port.get("/review", headers=reviewer)).json()["reviewer"] == "feed"
        version = await version_of(client, **reviewer)
        made = await client.post("/review/rules", json=BLOCK | {"version": version}, headers=reviewer)
        assert made.status_code == 200
        rules = (await client.get("/review/rules", headers=reviewer)).json()
        explained = await client.post("/recommend", json=ASK | {"explain": True}, headers=reviewer)
    assert rules["changes"][0]["who"] == "feed"
    assert explained.status_code == 403


async def test_without_keys_it_is_for_the_browser_of_a_demo_only(settings: Settings) -> None:
    for chosen, headers, status in (
        (settings, LOCAL, 200),
        (settings, {"host": "[::1]:8000"}, 200),
        (settings, {"host": "rebound.example"}, 403),
        (settings, {"host": "127.0.0.1.example"}, 403),
        (settings, {"host": "[", "x": "y"}, 403),
        (changed(settings), LOCAL, 403),
        (settings.model_copy(update={"host": "0.0.0.0", "insecure": True}), LOCAL, 403),
        (settings.model_copy(update={"admin_host": "0.0.0.0"}), LOCAL, 403),
    ):
        app, _ = scripted_app(chosen)
        async with running(app) as client:
            assert (await client.get("/review", headers=headers)).status_code == status, headers


async def test_a_page_of_another_site_changes_nothing(settings: Settings) -> None:
    app, _ = scripted_app(settings)
    async with running(app) as client:
        body = json.dumps(BLOCK | {"version": await version_of(client)})
        own = LOCAL | {"content-type": "application/json", "origin": "http://127.0.0.1:8000"}
        for headers, status in (
            (own | {"origin": "http://site.example"}, 403),
            (own | {"origin": "null"}, 403),
            (LOCAL, 415),  # a form or a blob of another site has no JSON type
            (LOCAL | {"content-type": "text/plain"}, 415),
            (own, 200),
        ):
            response = await client.post("/review/rules", content=body, headers=headers)
            assert response.status_code == status, headers


async def test_it_is_on_the_public_port_only_where_the_setting_says_so(settings: Settings) -> None:
    app, _ = scripted_app(changed(settings, public=False, without_key=True))
    async with running(app) as client, admin_client(app) as admin:
        assert (await client.get("/review", headers=LOCAL)).status_code == 404
        assert (await admin.get("/review", headers=LOCAL)).status_code == 200


async def test_what_a_deployment_lacks_is_named(settings: Settings, bundle_path: Path, tmp_path: Path) -> None:
    bare = settings_for(bundle_path, review={"without_key": True, "public": True})
    app, _ = scripted_app(bare)
    async with running(app) as client:
        able = (await client.get("/review", headers=LOCAL)).json()
        review_wire.ReviewResponse.model_validate(able, strict=True)
        assert (able["answers"]["available"], able["rules"]["readable"], able["rules"]["writable"]) == (False,) * 3
        assert able["rules"]["kinds"] == []
        for method, path, setting in (
            ("GET", "answers", "ONEBAR_REVIEW__ANSWERS"), ("GET", "rules", "ONEBAR_RULES"),
            ("POST", "rules", "ONEBAR_RULES"),
        ):  # fmt: skip
            refused = await client.request(method, f"/review/{path}", headers=LOCAL, json={})
            assert (refused.status_code, refused.json()["error"]) == (404, "not_available")
            assert setting in refused.json()["message"]
    app, _ = scripted_app(settings)
    async with running(app) as client:
        able = (await client.get("/review", headers=LOCAL)).json()
        assert able["answers"] == {"available": True, "source": "memory", "capacity": 3, "because": None}
        assert (able["rules"]["writable"], able["rules"]["because"], len(able["rules"]["kinds"])) == (True, None, 4)
        (tmp_path / "rules.yaml").write_text("blocked_queries: [5]\n")
        await app.state.instance.rules.follow()
        able = (await client.get("/review", headers=LOCAL)).json()
        assert "it must be text" in able["rules"]["because"]
        assert str(tmp_path) not in json.dumps(able)
        refused = await client.post("/review/rules", json=BLOCK | {"version": "0" * 12}, headers=LOCAL)
        assert refused.status_code == 409


@pytest.mark.parametrize(("change", "field"), [
    ({"query": ""}, "query"),
    ({"query": "!?"}, "query"),
    ({"query": "a\nb"}, "query"),
    ({"query": "a\x00"}, "query"),
    ({"query": "abc\u202edef"}, "query"),
    ({"query": "ab\u200bc"}, "query"),
    ({"query": "\ud800"}, "query"),
    ({"query": "x" * 257}, "query"),
    ({"query": 5}, "query"),
    ({"query": None}, "query"),
    ({"reason": ""}, "reason"),
    ({"reason": "  "}, "reason"),
    ({"reason": "x" * 501}, "reason"),
    ({"reason": "a\u2028b"}, "reason"),
    ({"kind": "delete_everything"}, "kind"),
    ({"kind": "pin_query"}, "body"),
    ({"kind": "pin_query", "photo_id": "../../etc"}, None),
    ({"photo_id": "p1"}, "body"),
    ({"photo_id": "p 1"}, "photo_id"),
    ({"version": "x"}, "version"),
    ({"path": "/etc/passwd"}, "path"),
])  # fmt: skip
async def test_a_hostile_change_is_refused_with_the_field(
    settings: Settings, change: dict[str, Any], field: str | None
) -> None:
    app, _ = scripted_app(settings)
    async with running(app) as client:
        body = BLOCK | {"version": await version_of(client)} | change
        response = await client.post(
            "/review/rules", content=json.dumps(body), headers=LOCAL | {"content-type": "application/json"}
        )
        rules = (await client.get("/review/rules", headers=LOCAL)).json()
    if field is None:  # an id is a key of the rules and never a path
        assert response.status_code == 200
        assert rules["pins"][0]["photo_id"] == "../../etc"
        return
    assert response.status_code == 422
    assert [fault["field"] for fault in response.json()["errors"]] == [field]
    assert rules["changes"] == []
    assert settings.rules is not None
    assert settings.rules.read_text() == "{}\n"


@pytest.mark.parametrize("parameters", [
    {"limit": "0"}, {"limit": "201"}, {"limit": "x"}, {"limit": "9" * 5000}, {"video": "a b"}, {"video": "x" * 129},
    {"request_id": "\u202e"}, {"query": "x" * 257}, {"path": "/etc/passwd"},
])  # fmt: skip
async def test_hostile_parameters_are_refused_with_the_field(settings: Settings, parameters: dict[str, str]) -> None:
    app, _ = scripted_app(settings)
    async with running(app) as client:
        response = await client.get("/review/answers", params=parameters, headers=LOCAL)
    assert response.status_code == 422
    assert [fault["field"] for fault in response.json()["errors"]] == list(parameters)


async def test_a_body_over_the_limit_is_refused(settings: Settings) -> None:
    app, _ = scripted_app(settings)
    async with running(app) as client:
        response = await client.post("/review/rules", json=BLOCK | {"reason": "x" * 9000}, headers=LOCAL)
    assert response.status_code == 413


async def test_with_nothing_kept_an_answer_leaves_nothing(bundle_path: Path) -> None:
    app = create_app(settings_for(bundle_path))
    async with running(app) as client:
        await client.post("/recommend", json=ASK)
    assert app.state.instance.recent is None
    assert app.state.instance.serving.recent is None
