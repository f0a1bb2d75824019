"""The ANN baseline finds the past queries nearest to a video."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evaluation.inputs import Example
from evaluation.nearest import NearestQueries
from evidence.static_embedder import StaticEmbedder
from tests.fixtures.tiny_embedder import build_tiny_embedder


@pytest.fixture
def embedder(tmp_path: Path) -> StaticEmbedder:
    return build_tiny_embedder(tmp_path / "embedder", ["bike bicycle", "tent", "red"])


def test_the_queries_nearest_to_text_and_summary_come_first(
    embedder: StaticEmbedder, examples: Callable[..., list[Example]]
) -> None:
    nearest = NearestQueries(["tent", "red bike", "bike"], embedder)
    [by_text, by_summary] = nearest.predict(examples({"caption": "bicycle"}, {"summary": "a red tent"}))
    assert by_text == ["bike", "red bike", "tent"]
    assert by_summary[0] == "tent"


def test_nothing_is_found_for_a_video_without_known_words(
    embedder: StaticEmbedder, examples: Callable[..., list[Example]]
) -> None:
    assert NearestQueries(["tent"], embedder).predict(examples({"caption": "kettle"})) == [[]]


def test_clicks_lift_a_query_only_if_popularity_has_a_weight(
    embedder: StaticEmbedder, examples: Callable[..., list[Example]]
) -> None:
    past = ["bike", *["red bike"] * 100]
    [by_cosine] = NearestQueries(past, embedder).predict(examples({"caption": "bike"}))
    [by_clicks] = NearestQueries(past, embedder, popularity=0.2).predict(examples({"caption": "bike"}))
    assert by_cosine == ["bike", "red bike"]
    assert by_clicks == ["red bike", "bike"]


def test_at_most_eight_queries_are_returned(embedder: StaticEmbedder, examples: Callable[..., list[Example]]) -> None:
    [answer] = NearestQueries([f"bike {n}" for n in range(100)], embedder).predict(examples({"caption": "bike"}))
    assert len(answer) == 8
