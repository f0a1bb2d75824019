"""What `explain` shows beyond the hypotheses: the fields before cleaning, the source by field, and P([REJECT])."""

from __future__ import annotations

from typing import Any

import pytest

from service.http import wire
from service.settings import Settings
from tests.fixtures.serving import ScriptedScheduler, running, scripted_app, spoken

ASKED = {"photo_id": "p1", "user_id": "u1", "explain": True}


async def explained(settings: Settings, scheduler_says: Any = None, **body: Any) -> dict[str, Any]:
    """Return `explain` of the answer to a request for the video p1."""
    app, scheduler = scripted_app(settings)
    say(scheduler, app.state.instance.parts.bundle, scheduler_says or {})
    async with running(app) as client:
        answer = (await client.post("/recommend", json=ASKED | body)).json()
    wire.RecommendResponse.model_validate(answer, strict=True)
    found: dict[str, Any] = answer["explain"]
    return found


def say(scheduler: ScriptedScheduler, bundle: Any, how: dict[str, Any]) -> None:
    scheduler.say(spoken(bundle, "travel camera", **how))


async def test_fields_are_shown_as_they_were_given(settings: Settings) -> None:
    fields = (await explained(settings))["fields"]
    assert fields == {
        "caption": "travel camera #new", "photo_title": "", "title": "", "item_title": "",
        "summary": "The video shows a camera", "anchors": [], "histories": [],
        "queries": ["travel camera lens", "red dress"], "category": "cameras",
    }  # fmt: skip


async def test_a_field_of_the_request_replaces_the_stored_one_even_if_it_is_empty(settings: Settings) -> None:
    evidence = {"caption": "", "summary": None, "anchors": ["camera bag"]}
    fields = (await explained(settings, evidence=evidence, recent_queries=["tripod"]))["fields"]
    assert (fields["caption"], fields["anchors"]) == ("", ["camera bag"])
    assert fields["summary"] == "The video shows a camera"
    assert fields["queries"] == ["tripod", "travel camera lens", "red dress"]


async def test_segments_have_the_tokens_that_the_model_reads(settings: Settings) -> None:
    app, scheduler = scripted_app(settings)
    say(scheduler, app.state.instance.parts.bundle, {})
    async with running(app) as client:
        segments = (await client.post("/recommend", json=ASKED)).json()["explain"]["segments"]
    assert [(part["field"], part["text"]) for part in segments[:4]] == [
        ("text", "travel camera"), ("summary", "a camera"), ("anchors", ""), ("histories", ""),
    ]  # fmt: skip
    assert segments[4]["field"] == "personal"
    assert "travel camera lens".startswith(segments[4]["text"])
    frame = 6  # <s>, four [SEP], </s>
    assert sum(part["tokens"] for part in segments) + frame == len(scheduler.seen[-1])
    assert all(part["tokens"] <= part["budget"] for part in segments)


async def test_a_segment_that_its_budget_has_cut_says_so(settings: Settings) -> None:
    segments = (await explained(settings, evidence={"caption": "camera " * 100}, user_id=None))["segments"]
    assert [part["field"] for part in segments if part["truncated"]] == ["text"]


@pytest.mark.parametrize("probability", [0.0, 0.75])
async def test_the_probability_of_the_rejection_is_shown_with_its_threshold(
    settings: Settings, probability: float
) -> None:
    rejection = (await explained(settings, {"reject_probability": probability}))["rejection"]
    assert rejection["probability"] == probability
    assert 0 < rejection["threshold"] <= 1


async def test_what_was_not_reached_is_null(settings: Settings) -> None:
    blocked = await explained(settings, photo_id="knife")
    assert (blocked["fields"], blocked["segments"], blocked["rejection"]) == (None, [], None)
    unknown = await explained(settings, photo_id="unknown", user_id=None)
    assert unknown["fields"]["caption"] == ""
    assert (unknown["segments"], unknown["rejection"]) == ([], None)


async def test_nothing_of_it_is_built_for_a_request_without_explain(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("built without explain")

    for name in ("add_fields", "add_segments", "add_rejection"):
        monkeypatch.setattr(f"service.answering.explanation.Details.{name}", fail)
    app, scheduler = scripted_app(settings)
    say(scheduler, app.state.instance.parts.bundle, {})
    async with running(app) as client:
        answer = await client.post("/recommend", json=ASKED | {"explain": False})
    assert answer.status_code == 200
    assert "explain" not in answer.json()
