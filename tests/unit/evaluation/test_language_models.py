"""The zero-shot baseline and the judge, against a local server that speaks the protocol."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from evaluation.errors import ModelError
from evaluation.inputs import Example
from evaluation.language_model import KEY_VARIABLE, LanguageModel, Unusable
from evaluation.relevance import grades, parse_grades, relevance_report
from evaluation.zero_shot import ZeroShot, parse_queries
from tests.unit.offline.summaries.endpoint_server import Reply, Server, endpoint_server

Examples = Callable[..., list[Example]]


def model(server: Server, **changes: Any) -> LanguageModel:
    return LanguageModel(server.url, "m", "--llm-", timeout_seconds=10, **changes)


def said(body: dict[str, Any]) -> dict[str, Any]:
    """What the user of a request says."""
    found: dict[str, Any] = json.loads(body["messages"][1]["content"])
    return found


def test_the_model_reads_the_fields_of_the_generator_and_its_lines_are_queries(examples: Examples) -> None:
    held_out = examples({"caption": "red bike", "histories": ["bike price"], "personal": ["helmet"]})
    with endpoint_server(Reply(text='1. "bike price"\n2. red bike\n2. Red Bike')) as server:
        assert ZeroShot(model(server)).predict(held_out) == [["bike price", "red bike"]]
    [body] = server.bodies
    assert said(body) == {
        "text": "red bike",
        "searched_on_this_video": ["bike price"],
        "searched_by_this_viewer": ["helmet"],
    }
    assert body["temperature"] == 0


def test_equal_videos_are_asked_about_once_and_requests_overlap_up_to_the_bound(examples: Examples) -> None:
    held_out = examples(*({"caption": f"bike {n % 6}"} for n in range(12)))
    with endpoint_server(reply_to=lambda number, body: Reply(text=said(body)["text"])) as server:
        answers = ZeroShot(model(server, concurrency=2)).predict(held_out)
    assert answers == [[f"bike {n % 6}"] for n in range(12)]
    assert len(server.bodies) == 6
    assert server.most_at_a_time <= 2


def test_a_request_that_fails_for_good_is_an_empty_bar(examples: Examples) -> None:
    with endpoint_server(Reply(status=400, body="too long"), Reply(text="bike")) as server:
        answers = ZeroShot(model(server, concurrency=1)).predict(examples({"caption": "a"}, {"caption": "b"}))
    assert answers == [[], ["bike"]]


def test_a_wrong_key_stops_and_the_message_names_the_variable_and_the_options(
    examples: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "sk-1")
    with endpoint_server(Reply(status=401, body="who?")) as server, pytest.raises(ModelError, match=KEY_VARIABLE):
        ZeroShot(model(server)).predict(examples({"caption": "a"}))
    assert server.keys == ["Bearer sk-1"]
    with endpoint_server(Reply(status=404, body="?")) as server, pytest.raises(ModelError, match="--llm-model"):
        ZeroShot(model(server)).predict(examples({"caption": "a"}))


@pytest.mark.parametrize(
    ("answer", "queries"),
    [
        ("Here are the queries:\n- bike price\n* helmet", ["bike price", "helmet"]),
        ("1) bike\n\n2) bike\n", ["bike"]),
        ("“红色自行车”", ["红色自行车"]),
        (
            'This viewer would likely search for "red bike" and for "red bike price" after this "video".',
            ["red bike", "red bike price"],
        ),
        ("\n".join(f"bike {n}" for n in range(20)), [f"bike {n}" for n in range(8)]),
    ],
)
def test_lines_become_queries(answer: str, queries: list[str]) -> None:
    assert parse_queries(answer) == queries


@pytest.mark.parametrize("answer", ["", "Queries:", "x" * 200])
def test_an_answer_without_queries_is_unusable(answer: str) -> None:
    with pytest.raises(Unusable):
        parse_queries(answer)


def test_the_judge_grades_what_is_shown_and_an_empty_bar_has_no_grade(examples: Examples) -> None:
    held_out = examples({"photo_id": "a", "caption": "bike"}, {"photo_id": "b", "caption": "tent"})
    with endpoint_server(Reply(text="The grades: [5, 2]")) as server:
        scores = grades(model(server), held_out, [["bike", "kettle"], []])
    assert scores[0] == 3.5
    assert np.isnan(scores[1])
    assert said(server.bodies[0])["queries"] == ["bike", "kettle"]
    report = relevance_report({"s": scores}, ["a", "b"])
    assert report["s"] == {"mean": 3.5, "interval": [3.5, 3.5], "scored": 0.5}


def test_grades_of_another_number_than_queries_do_not_count(examples: Examples) -> None:
    with endpoint_server(Reply(text="[5]")) as server:
        assert np.isnan(grades(model(server), examples({"caption": "bike"}), [["bike", "kettle"]])).all()


@pytest.mark.parametrize("answer", ["", "good", "[6]", "[true]", '["5"]', "[]"])
def test_what_is_no_list_of_grades_is_unusable(answer: str) -> None:
    with pytest.raises(Unusable):
        parse_grades(answer)
