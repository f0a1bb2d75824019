"""Predictors without a model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from evaluation.baselines import CopyEvidence, MostPopular, TitleNeighbours
from evaluation.inputs import Example, TitledQuery


def test_the_most_popular_queries_lead_in_their_first_wording(examples: Callable[..., list[Example]]) -> None:
    popular = MostPopular(["Tent", "bike", "tent", *[f"rare {n}" for n in range(20)]])
    [answer] = popular.predict(examples({}))
    assert answer[0] == "Tent"
    assert len(answer) == 8


def test_the_queries_of_similar_titles_are_found() -> None:
    baseline = TitleNeighbours(
        [
            TitledQuery("red road bike", "road bike"),
            TitledQuery("red road bike", "bike price"),
            TitledQuery("red road bike", "road bike"),
            TitledQuery("steel kettle", "kettle"),
        ]
    )
    assert baseline.predict_titles(["road bike for sale", "kettle", "violin"]) == [
        ["road bike", "bike price"],
        ["kettle"],
        [],
    ]


def test_chinese_titles_share_pairs_of_characters() -> None:
    baseline = TitleNeighbours(
        [TitledQuery("夏季新款女士连衣裙显瘦", "连衣裙"), TitledQuery("无线蓝牙耳机降噪", "蓝牙耳机")]
    )
    assert baseline.predict_titles(["女士连衣裙碎花", "新蓝牙耳机"]) == [["连衣裙"], ["蓝牙耳机", "连衣裙"]]


def test_titles_without_a_word_are_near_nothing() -> None:
    assert TitleNeighbours([TitledQuery("", "tent"), TitledQuery("!!", "bike")]).predict_titles(["tent", ""]) == [
        [],
        [],
    ]


def test_a_query_scores_the_squared_similarity_of_its_titles() -> None:
    """One exact title outweighs two titles that share a single word of three."""
    baseline = TitleNeighbours(
        [TitledQuery("carbon gravel bike", "exact"), TitledQuery("bike a b", "loose"), TitledQuery("bike c d", "loose")]
    )
    assert baseline.predict_titles(["carbon gravel bike"]) == [["exact", "loose"]]


def test_only_the_thirty_nearest_titles_count() -> None:
    near = [TitledQuery(f"bike {n}", "near") for n in range(30)]
    far = [TitledQuery("bike with a very long title about other things", "far")]
    assert TitleNeighbours([*near, *far]).predict_titles(["bike"]) == [["near"]]


def test_many_titles_are_answered_as_one_by_one() -> None:
    words = ["bike", "kettle", "tent", "lamp", "mouse", "mat"]
    generator = np.random.default_rng(0)
    titles = [" ".join(generator.choice(words, 3)) for _ in range(700)]
    baseline = TitleNeighbours(TitledQuery(title, f"query {n % 40}") for n, title in enumerate(titles[:100]))
    assert baseline.predict_titles(titles)[600:610] == [baseline.predict_titles([t])[0] for t in titles[600:610]]


def test_an_item_is_answered_without_its_own_pairs() -> None:
    baseline = TitleNeighbours(
        [
            TitledQuery("red road bike", "its own", item="a"),
            TitledQuery("red road bike", "of its twin", item="b"),
            TitledQuery("road bike bell", "bell", item="c"),
        ]
    )
    titles = ["red road bike", "road bike bell"]
    assert baseline.predict_titles(titles) == [["its own", "of its twin", "bell"], ["bell", "its own", "of its twin"]]
    assert baseline.predict_titles(titles, items=["a", "c"]) == [["of its twin", "bell"], ["its own", "of its twin"]]


def test_a_title_of_the_item_alone_takes_no_place_among_the_thirty() -> None:
    near = [TitledQuery(f"bike {n}", "near", item=f"item {n}") for n in range(30)]
    far = [TitledQuery("bike with a very long title about other things", "far", item="far")]
    assert TitleNeighbours([*near, *far]).predict_titles(["bike 7"], items=["item 7"]) == [["near", "far"]]


def test_more_than_eight_queries_can_be_asked_for() -> None:
    baseline = TitleNeighbours(TitledQuery("bike", f"query {n:02d}") for n in range(20))
    assert [len(baseline.predict_titles(["bike"], count=count)[0]) for count in (3, 8, 16)] == [3, 8, 16]


def test_cached_queries_are_shown_histories_first_without_repeats(examples: Callable[..., list[Example]]) -> None:
    [example] = examples({"histories": ["b", "a"], "anchors": ["A", "c"], "personal": ["p"]})
    assert CopyEvidence().predict([example]) == [["b", "a", "c"]]
    assert CopyEvidence(["personal"]).predict([example]) == [["p"]]
