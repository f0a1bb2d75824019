"""A wrong answer with status 200 is a failure."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from loadtest.checks import TermList, check_answer, check_batch

REQUEST = {"photo_id": "p1", "request_id": "r1", "num_queries": 2}
ANSWER: dict[str, Any] = {
    "request_id": "r1",
    "photo_id": "p1",
    "decision": "recommend",
    "reason": None,
    "queries": [
        {"rank": 1, "query": "cfmoto 675nk price", "score": -0.2},
        {"rank": 2, "query": "cfmoto 675nk review", "score": -0.4},
    ],
    "model_version": "0123456789ab",
    "evidence_version": "ba9876543210",
    "degraded": [],
    "timings_ms": {
        "feature_store": 0.4,
        "render": 0.1,
        "queue": 0.0,
        "encode": 2.0,
        "decode": 6.0,
        "policy": 0.2,
        "total": 9.0,
    },
}
ABSTAINED = ANSWER | {"decision": "abstain", "reason": "model_reject", "queries": []}


def faults_of(request: dict[str, Any] = REQUEST, stored: bool = True, **changes: Any) -> list[str]:
    return check_answer(request, ANSWER | changes, stored=stored)


def with_queries(*texts: str) -> list[dict[str, Any]]:
    return [{"rank": rank, "query": text, "score": -float(rank)} for rank, text in enumerate(texts, 1)]


def test_a_right_answer_has_no_faults() -> None:
    assert check_answer(REQUEST, ANSWER, stored=True) == []
    assert check_answer(REQUEST, ABSTAINED, stored=True) == []


@pytest.mark.parametrize("body", [None, [], "ok", {}, {"decision": "recommend"}])
def test_a_body_of_another_shape(body: Any) -> None:
    assert check_answer(REQUEST, body, stored=True)


@pytest.mark.parametrize("field", list(ANSWER))
def test_a_missing_field_is_named(field: str) -> None:
    answer = {name: value for name, value in ANSWER.items() if name != field}
    assert check_answer(REQUEST, answer, stored=True) == [f"{field} is missing"]


def test_an_unknown_field() -> None:
    assert faults_of(surprise=1) == ["there is an unknown field 'surprise'"]


@pytest.mark.parametrize("changes", [{"request_id": "r2"}, {"photo_id": "p2"}])
def test_an_answer_to_somebody_else(changes: dict[str, str]) -> None:
    (fault,) = faults_of(**changes)
    assert "not the one that was sent" in fault


@pytest.mark.parametrize(
    "changes",
    [
        {"reason": "model_reject"},
        {"queries": []},
        {"decision": "abstain"},
        {"decision": "abstain", "reason": "model_reject"},
        {"decision": "abstain", "reason": "bored", "queries": []},
        {"decision": "maybe"},
        {"evidence_version": None},
        {"model_version": "latest"},
        {"degraded": ["deadline", "deadline"]},
        {"decision": "abstain", "reason": "deadline", "queries": []},
    ],
)
def test_decisions_that_contradict_themselves(changes: dict[str, Any]) -> None:
    assert faults_of(**changes)


def test_no_evidence_for_a_stored_video_is_wrong_unless_the_store_was_lost() -> None:
    nothing = {"decision": "abstain", "reason": "no_evidence", "queries": [], "evidence_version": None}
    assert faults_of(**nothing) == ["no_evidence, although there is evidence"]
    assert faults_of(**nothing, degraded=["feature_store_down"]) == []
    assert faults_of(stored=False, **nothing) == []
    assert faults_of(request=REQUEST | {"evidence": {"caption": "a"}}, stored=False, **nothing)


@pytest.mark.parametrize(
    "queries",
    [
        with_queries("a", "b", "c"),
        with_queries("Red Shoes", "red  shoes"),
        with_queries("ＡＢＣ", "abc"),
        with_queries("675-NK", "675 nk"),
        with_queries(" a"),
        with_queries(""),
        with_queries("a\tb"),
        with_queries("a\N{REPLACEMENT CHARACTER}"),
        with_queries("a [SEP] b"),
        with_queries("a</s>"),
        [{"rank": 2, "query": "a", "score": -1.0}],
        [{"rank": 1, "query": "a", "score": float("nan")}],
        [{"rank": 1, "query": "a", "score": -2.0}, {"rank": 2, "query": "b", "score": -1.0}],
        [{"rank": 1, "query": "a"}],
        ["a"],
    ],
)
def test_queries_that_must_not_be_shown(queries: list[Any]) -> None:
    assert faults_of(queries=queries)


def test_three_queries_are_the_default() -> None:
    request = {"photo_id": "p1", "request_id": "r1"}
    assert faults_of(request, queries=with_queries("a", "b", "c")) == []
    assert faults_of(request, queries=with_queries("a", "b", "c", "d"))


def test_meaningful_symbols_part_queries() -> None:
    assert faults_of(queries=with_queries("c book", "c++ book")) == []


def test_a_prohibited_term_is_found_as_whole_words(tmp_path: Path) -> None:
    path = tmp_path / "terms.tsv"
    path.write_text("# weapons first\nweapons\tStun Gun\n\ntobacco\tvape\n", encoding="utf-8")
    terms = TermList.read(path)
    assert terms.find("cheap STUN-gun case") == "Stun Gun"
    assert terms.find("stunning gunmetal vapes") is None
    faults = check_answer(REQUEST, ANSWER | {"queries": with_queries("blue vape")}, stored=True, prohibited=terms)
    assert faults == ["the query 'blue vape' has the prohibited term 'vape'"]


@pytest.mark.parametrize("changes", [{"decode": -1.0}, {"decode": float("inf")}, {"decode": 50.0}, {"extra": 1.0}])
def test_timings_that_cannot_be(changes: dict[str, float]) -> None:
    assert faults_of(timings_ms=ANSWER["timings_ms"] | changes)


def test_an_explanation_comes_only_when_asked_for() -> None:
    assert faults_of(explain={"source_text": "a"})
    assert faults_of(request=REQUEST | {"explain": True})
    assert faults_of(request=REQUEST | {"explain": True}, explain={"source_text": "a"}) == []


def test_a_batch_answers_every_request_in_order() -> None:
    request = {"requests": [REQUEST, REQUEST | {"request_id": "r2"}]}
    first = {"status": 200, "response": deepcopy(ANSWER)}
    second = {"status": 200, "response": ANSWER | {"request_id": "r2"}}
    assert check_batch(request, {"results": [first, second]}) == []
    assert check_batch(request, {"results": [second, first]})
    assert check_batch(request, {"results": [first]})
    assert check_batch(request, {"results": [first, {"status": 500, "error": {}}]})
    assert check_batch(request, [])
