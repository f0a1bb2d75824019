"""`explain_search`: the beam search on the wire, who may ask for it, and how it stands to the result cache."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.http import wire
from service.http.app import create_app
from service.settings import Settings
from tests.fixtures.serving import running, scripted_app, settings_for, with_key

ASK = {"photo_id": "new", "num_queries": 8, "evidence": {"caption": "garden hose"}}
SEARCH = ASK | {"explain_search": True}
UNTIMED = ("request_id", "timings_ms", "search")


@pytest.fixture
def settings(bundle_path: Path) -> Settings:
    return settings_for(bundle_path, result_cache={"max_bytes": 1_000_000})


async def post(client: httpx.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
    response = await client.post("/recommend", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def without(answer: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in names}


async def test_the_search_is_bounded_and_leads_to_the_hypotheses_of_the_answer(settings: Settings) -> None:
    app = create_app(settings)
    async with running(app) as client:
        answer = await post(client, SEARCH | {"explain": True})
        plain = await post(client, ASK)
    wire.RecommendResponse.model_validate(answer, strict=True)
    assert without(answer, *UNTIMED, "explain") == without(plain, *UNTIMED)
    assert "search" not in plain
    search = answer["search"]
    width = search["width"]
    assert (width, search["max_new_tokens"]) == (8, app.state.instance.parts.constraints.options.max_new_tokens)
    assert 1 <= len(search["steps"]) <= search["max_new_tokens"]
    for step in search["steps"]:
        assert all(len(step[name]) <= most for name, most in (("beams", width), ("ended", width), ("cut", 3 * width)))
    explained = [(item["query"], item["score"]) for item in answer["explain"]["hypotheses"]]
    assert [(item["query"], item["score"]) for item in search["hypotheses"]] == explained
    for hypothesis in search["hypotheses"]:
        (ended,) = [item for item in search["steps"][hypothesis["step"] - 1]["ended"]
                    if item["rank"] == hypothesis["rank"]]  # fmt: skip
        assert {name: ended[name] for name in ("query", "score", "finished", "parent")} == {
            name: hypothesis[name] for name in ("query", "score", "finished", "parent")
        }


async def test_the_tokens_along_the_parents_are_the_text_of_the_hypothesis(settings: Settings) -> None:
    app = create_app(settings)
    tokenizer = app.state.instance.parts.bundle.tokenizer
    async with running(app) as client:
        search = (await post(client, SEARCH))["search"]
    for hypothesis in search["hypotheses"]:
        steps, beam = search["steps"][: hypothesis["step"] - 1], hypothesis["parent"]
        tokens = []
        for step in reversed(steps):
            tokens.append(step["beams"][beam]["token_id"])
            beam = step["beams"][beam]["parent"]
        if not hypothesis["finished"]:
            (last,) = [item["token_id"] for item in search["steps"][hypothesis["step"] - 1]["ended"]
                       if item["rank"] == hypothesis["rank"]]  # fmt: skip
            tokens.insert(0, last)
        assert " ".join(tokenizer.decode(tokens[::-1]).split()) == hypothesis["query"]


async def test_an_explained_search_neither_reads_nor_fills_the_result_cache(settings: Settings) -> None:
    app, engine = scripted_app(settings)
    async with running(app) as client:
        warm = len(engine.seen)
        await post(client, SEARCH)  # fills nothing:
        assert (await post(client, ASK | {"explain": True}))["explain"]["cache"] == "miss"
        assert (await post(client, ASK | {"explain": True}))["explain"]["cache"] == "hit"
        assert (await post(client, SEARCH | {"explain": True}))["explain"]["cache"] is None  # reads nothing
        assert engine.recorded[warm:] == [True, False, True]
        engine.hold()
        together = [asyncio.create_task(post(client, body | {"photo_id": "other"})) for body in (SEARCH, SEARCH)]
        while engine.waiting < 2:  # neither joins the other
            await asyncio.sleep(0)
        engine.release()
        await asyncio.gather(*together)


async def test_an_answer_without_a_search_says_so(settings: Settings) -> None:
    app = create_app(settings)
    async with running(app) as client:
        answer = await post(client, {"photo_id": "unknown", "explain_search": True})
        page = await client.post("/recommend/batch", json={"requests": [SEARCH, ASK]})
    assert (answer["reason"], answer["search"]) == ("no_evidence", None)
    first, second = (result["response"] for result in page.json()["results"])
    assert first["search"]["steps"]
    assert "search" not in second
    assert first["queries"] == second["queries"]


async def test_only_callers_who_may_explain_get_the_search(settings: Settings, tmp_path: Path) -> None:
    keyed, feed = with_key(settings, tmp_path)
    _, reviewer = with_key(settings, tmp_path, "explain")
    app, engine = scripted_app(keyed)
    async with running(app) as client:
        seen = len(engine.seen)
        refused = await client.post("/recommend", json=SEARCH, headers=feed)
        assert (refused.status_code, refused.json()["error"]) == (403, "forbidden")
        assert "leave `explain_search` out" in refused.json()["message"]
        assert len(engine.seen) == seen
        allowed = await client.post("/recommend", json=SEARCH, headers=reviewer)
        assert allowed.status_code == 200
        assert "search" in allowed.json()
