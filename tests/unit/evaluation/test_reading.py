"""Reading recall: where a target stands in the source, and who answers it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from evaluation.inputs import Example
from evaluation.predict import BundlePredictor
from evaluation.reading import ANY_FIELD, BEYOND_CACHED, FIELDS, fields_with, reading_masks, reading_report
from evidence.schema import Evidence


def test_a_list_has_the_target_as_an_entry_and_a_text_as_a_phrase() -> None:
    source = Evidence(
        text="Red Road Bike, new",
        summary="a road bike",
        anchors=("best road bike",),
        histories=("road bikes", "Road Bike"),
        personal=("bike",),
    )
    assert fields_with("road bike", source) == {"text", "summary", "histories"}
    assert fields_with("road  Bikes", source) == {"histories"}
    assert fields_with("bike road", source) == frozenset()


def test_each_click_counts_in_every_field_that_has_its_target() -> None:
    sources = [
        Evidence(anchors=("tent",), histories=("tent",)),
        Evidence(text="a tent"),
        Evidence(personal=("lamp",)),
    ]
    masks = reading_masks(["tent", "tent", "tent"], sources, [["tent"], ["lamp"], []])
    assert masks[ANY_FIELD].tolist() == [True, True, False]
    assert {name: int(masks[name].sum()) for name in FIELDS} == {
        "text": 1,
        "summary": 0,
        "anchors": 1,
        "histories": 1,
        "personal": 0,
    }


def test_targets_beyond_the_first_eight_cached_queries_are_apart() -> None:
    ninth = [f"query {n}" for n in range(8)] + ["tent"]
    source = Evidence(anchors=("tent",))
    masks = reading_masks(["tent", "query 7", "boat"], [source, Evidence(anchors=("query 7",)), source], [ninth] * 3)
    assert masks[BEYOND_CACHED].tolist() == [True, False, False]


def test_recall_is_the_share_of_these_clicks_that_is_answered() -> None:
    masks = {
        ANY_FIELD: np.array([True, True, True, True, False]),
        "text": np.array([False, True, False, False, False]),
        "summary": np.zeros(5, bool),
    }
    hits = {"bundle": np.array([1.0, 0, 1, 1, 1]), "cached queries": np.array([0.0, 0, 1, 0, 0])}
    report = reading_report(masks, hits, ["p0", "p0", "p1", "p2", "p3"])
    assert set(report) == {ANY_FIELD, "text"}  # no target stands in a summary
    found = report[ANY_FIELD]
    assert (found["clicks"], found["share"]) == (4, 0.8)
    assert {system: value["mean"] for system, value in found["recall"].items()} == {
        "bundle": 0.75,
        "cached queries": 0.25,
    }
    assert report["text"]["recall"]["bundle"] == {"mean": 0.0, "interval": [0.0, 0.0]}


@pytest.mark.parametrize("stored", [1, 40])
def test_an_entry_that_the_budget_cuts_does_not_stand_in_the_source(
    examples: Callable[..., list[Example]], predictor: BundlePredictor, stored: int
) -> None:
    """The last of one anchor is read; the last of forty is beyond the twenty tokens of anchors."""
    [example] = examples({"anchors": [*(f"phone case {n}" for n in range(stored - 1)), "fishing rod"]})
    [source] = predictor.sources([example])
    assert (fields_with("fishing rod", source) == {"anchors"}) is (stored == 1)
    assert len(source.anchors) <= stored
