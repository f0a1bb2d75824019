"""The policy: which hypotheses are shown."""

from __future__ import annotations

from pathlib import Path

import pytest

import service.answering
from evidence.safety import ProhibitedTerms
from evidence.term_list import load_terms
from service.answering.normalize import query_key
from service.answering.policy import PINNED_SCORE, Candidate, Policy, Trigger
from service.answering.rules import Rules

TRIGGER = Trigger("p1", "motor")


def policy(terms: tuple[tuple[str, str], ...] = (), threshold: float = 0.5, **rules: object) -> Policy:
    return Policy(Rules.model_validate(rules), ProhibitedTerms(terms), threshold)


def candidates(*queries: str) -> list[Candidate]:
    return [Candidate(query, -float(rank)) for rank, query in enumerate(queries)]


REJECT = Candidate("", -9.0, is_reject=True)


def shown(exposure) -> list[str]:
    return [item.query for item in exposure.shown]


def verdicts(exposure) -> dict[str, str | None]:
    return {item.query: item.rule for item in exposure.judged}


def test_the_best_queries_are_shown_in_order_up_to_num_queries():
    exposure = policy().decide(candidates("a1", "b1", "c1", "d1"), 0.1, TRIGGER, 2)
    assert shown(exposure) == ["a1", "b1"]
    assert exposure.reason is None
    assert verdicts(exposure) == {"a1": None, "b1": None, "c1": "over_num_queries", "d1": "over_num_queries"}


def test_nothing_is_shown_if_reject_is_the_best_hypothesis():
    exposure = policy().decide([REJECT, *candidates("a1")], 0.1, TRIGGER, 3)
    assert (shown(exposure), exposure.reason) == ([], "model_reject")
    assert {item.verdict for item in exposure.judged} == {"dropped"}


def test_nothing_is_shown_if_the_reject_probability_reaches_the_threshold():
    assert policy(threshold=0.3).decide(candidates("a1"), 0.30, TRIGGER, 3).reason == "model_reject"
    assert policy(threshold=0.3).decide(candidates("a1"), 0.29, TRIGGER, 3).reason is None


def test_a_reject_hypothesis_that_is_not_the_best_is_dropped():
    exposure = policy().decide([*candidates("a1"), REJECT, *candidates("b1")], 0.1, TRIGGER, 3)
    assert shown(exposure) == ["a1", "b1"]
    assert verdicts(exposure)[""] == "reject_token"


@pytest.mark.parametrize(
    "other",
    ["CFMOTO 675nk", "ＣＦＭＯＴＯ 675ＮＫ", "cf-moto 675 nk!", " cfmoto  675nk ", "cfmoto, 675nk", "«cfmoto» 675nk"],
)
def test_queries_that_differ_only_in_case_width_spaces_or_punctuation_are_duplicates(other):
    assert shown(policy().decide(candidates("cfmoto 675nk", other), 0, TRIGGER, 3)) == ["cfmoto 675nk"]


@pytest.mark.parametrize(("one", "other"), [("c", "c++"), ("5 watch", "$5 watch"), ("iphone 15", "iphone 16")])
def test_queries_that_differ_in_other_characters_are_not_duplicates(one, other):
    assert query_key(one) != query_key(other)


def test_a_query_of_punctuation_only_is_dropped():
    assert verdicts(policy().decide(candidates("…!?", "a1"), 0, TRIGGER, 3)) == {"…!?": "empty", "a1": None}


@pytest.mark.parametrize("query", ["shoe\N{REPLACEMENT CHARACTER}", "\x0f", "sh\x00oe", "a\u202eb", "sho\u200be"])
def test_a_query_with_invalid_bytes_or_invisible_characters_is_dropped(query):
    assert verdicts(policy().decide(candidates(query), 0, TRIGGER, 3)) == {query: "unreadable"}


@pytest.mark.parametrize(
    "query", ["buy a vape now", "V A P E juice", "ｖａｐｅ", "va\u200bpe", "VAPE", "vаpes", "v4pe"]
)
def test_queries_with_prohibited_terms_are_dropped(query):
    exposure = policy(terms=(("tobacco", "vape"),)).decide(candidates(query), 0, TRIGGER, 3)
    assert exposure.reason == "all_filtered"
    assert verdicts(exposure)[query] in ("prohibited_term", "unreadable")


def test_a_hundred_thousand_prohibited_terms_can_be_used():
    terms = [("bulk", f"term{number}x") for number in range(100_000)]
    rule = Policy(Rules(), ProhibitedTerms(terms), 0.5)
    exposure = rule.decide(candidates("a TERM99999X here", "a term100000x here"), 0, TRIGGER, 3)
    assert shown(exposure) == ["a term100000x here"]


def test_the_example_file_of_prohibited_terms_is_valid():
    terms = load_terms(Path(service.answering.__file__).with_name("prohibited_terms.example.tsv"))
    exposure = policy(terms=tuple(terms)).decide(candidates("一次性电子烟推荐", "camera"), 0, TRIGGER, 3)
    assert shown(exposure) == ["camera"]


def test_hypotheses_under_the_minimum_score_are_dropped_and_pinned_ones_are_not():
    likely, unlikely = Candidate("camera", -4.5), Candidate("tordika swift 20", -4.6)
    rules = policy(minimum_score=-4.5)
    assert verdicts(rules.decide([likely, unlikely], 0, TRIGGER, 3)) == {
        "camera": None,
        "tordika swift 20": "low_score",
    }
    nothing = rules.decide([unlikely], 0, TRIGGER, 3)
    assert (nothing.shown, nothing.reason) == ((), "all_filtered")
    pinned = policy(minimum_score=-4.5, pinned_queries=PINS).decide([unlikely], 0, TRIGGER, 3)
    assert shown(pinned) == ["by photo", "by category"]


def test_length_bounds_count_characters_and_words():
    rules = policy(length={"min_characters": 3, "max_characters": 12, "max_words": 2})
    exposure = rules.decide(candidates("tv", "one two three", "abcdefghijklm", "good one"), 0, TRIGGER, 3)
    assert verdicts(exposure) == {
        "tv": "too_short", "one two three": "too_long", "abcdefghijklm": "too_long", "good one": None,
    }  # fmt: skip


@pytest.mark.parametrize("query", ["free giftcards", "frее gift cards", "fr33 gift cards", "ｆree gift cards"])
def test_variants_of_blocked_queries_are_blocked(query):
    exposure = policy(blocked_queries=["Free Gift-Cards"]).decide(candidates(query, "a1"), 0, TRIGGER, 3)
    assert verdicts(exposure) == {query: "blocked_query", "a1": None}


def test_only_videos_of_blocked_categories_are_blocked():
    rules = policy(blocked_categories=["weapons"])
    assert rules.blocks_category("weapons")
    assert not rules.blocks_category("motor")
    assert not rules.blocks_category(None)


PINS = [{"query": "by photo", "photo_ids": ["p1"]}, {"query": "by category", "categories": ["motor"]}]


def test_pinned_queries_come_first_and_count_towards_num_queries():
    exposure = policy(pinned_queries=PINS).decide(candidates("a1", "b1"), 0, TRIGGER, 3)
    assert shown(exposure) == ["by photo", "by category", "a1"]
    assert [item.score for item in exposure.shown[:2]] == [PINNED_SCORE, PINNED_SCORE]
    assert verdicts(exposure)["by photo"] == "pinned"


def test_a_hypothesis_that_repeats_a_pinned_query_is_a_duplicate():
    exposure = policy(pinned_queries=PINS).decide(candidates("By-Photo", "a1"), 0, TRIGGER, 8)
    assert verdicts(exposure)["By-Photo"] == "duplicate"


def test_pinned_queries_are_shown_only_for_their_videos():
    assert shown(policy(pinned_queries=PINS).decide(candidates("a1"), 0, Trigger("p2", "dress"), 3)) == ["a1"]


def test_the_safety_rules_apply_to_pinned_queries():
    pins = [{"query": "vape sale", "photo_ids": ["p1"]}, {"query": "blocked one", "photo_ids": ["p1"]}]
    rules = policy(terms=(("tobacco", "vape"),), pinned_queries=pins, blocked_queries=["blocked one"])
    assert verdicts(rules.decide([], 0, TRIGGER, 3)) == {"vape sale": "prohibited_term", "blocked one": "blocked_query"}


def test_pinned_queries_are_not_shown_for_a_rejected_video():
    assert policy(pinned_queries=PINS).decide([REJECT], 0, TRIGGER, 3).reason == "model_reject"


def test_recently_shown_queries_are_dropped():
    trigger = Trigger("p1", None, frozenset({query_key("Red Shoes")}))
    assert verdicts(policy().decide(candidates("red shoes", "a1"), 0, trigger, 3)) == {
        "red shoes": "recently_shown", "a1": None,
    }  # fmt: skip


def test_an_unfinished_hypothesis_is_dropped_and_the_reason_is_the_deadline():
    cut = [Candidate("half a que", -1.0, finished=False)]
    exposure = policy().decide(cut, 0, TRIGGER, 3, deadline_reached=True)
    assert (exposure.reason, verdicts(exposure)) == ("deadline", {"half a que": "unfinished"})


def test_the_reason_without_a_remaining_query_is_all_filtered():
    assert policy().decide([], 0, TRIGGER, 3).reason == "all_filtered"
