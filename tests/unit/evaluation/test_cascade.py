"""The stages of the cascade on a shop that is made by hand."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from evaluation.cascade.features import FEATURES, VIDEO_COSINE, FeatureMaker
from evaluation.cascade.ranker import Ranker, train_ranker
from evaluation.cascade.recall import SOURCES, Recall
from evaluation.cascade.stages import Cascade, CascadeTraining
from evaluation.errors import InputError
from evaluation.inputs import Example, TitledQuery
from evaluation.past_clicks import PastClicks
from evaluation.shop_logs import ShopLogs
from evidence.static_embedder import StaticEmbedder
from tests.fixtures.tiny_embedder import build_tiny_embedder

PAST = [(0, "p1", "red bike", "red bike"), (0, "p1", "red bike", "red bike"), (1, "p2", "tent", "camping tent")]


@pytest.fixture
def embedder(tmp_path: Path) -> StaticEmbedder:
    return build_tiny_embedder(tmp_path / "embedder", ["bike bicycle", "tent camping", "red", "gun"])


@pytest.fixture
def past() -> PastClicks:
    days, photos, titles, queries = zip(*PAST, strict=True)
    pairs = [TitledQuery(title, query) for title, query in zip(titles, queries, strict=True)]
    return PastClicks(np.array(days), photos, pairs)


@pytest.fixture
def logs(tmp_path: Path) -> ShopLogs:
    """Two categories, a reviewed video, a prohibited term, and exposures of two queries at two positions."""

    def write(name: str, **columns: list[Any]) -> None:
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")

    write("videos", photo_id=["p1", "p2", "p3"], category=["sports", "outdoor", "sports"], created_day=[-1, 0, 2])
    write("reviews", photo_id=["p2", "p3"], day=[1, 1], verdict=["unsafe", "safe"])
    # At the first position, half are clicked; at the second, none.
    query, position, clicked = ["red bike", "tent"] * 40, [1, 1] * 20 + [2, 2] * 20, [True, False] * 20 + [False] * 40
    write("exposures", day=[0] * 80, query=query, position=position, clicked=clicked)
    (tmp_path / "prohibited_terms.tsv").write_text("weapons\tgun\n", encoding="utf-8")
    return ShopLogs(tmp_path)


def every(recall: Recall, example: Example) -> dict[str, dict[str, int]]:
    """The candidates of an example, with their rank in each source that has them."""
    [found] = recall.candidates([example])
    return {
        query: {source: rank for source, rank in zip(SOURCES, ranks, strict=True) if rank}
        for query, ranks in found.ranks.items()
    }


def test_each_source_recalls_its_candidates(
    past: PastClicks, logs: ShopLogs, examples: Callable[..., list[Example]]
) -> None:
    evidence = {"histories": ["Red bike", "bike"], "anchors": ["bike"], "personal": ["tent"]}
    [example] = examples({"photo_id": "p3", "caption": "red bike", **evidence})
    assert every(Recall(past, logs.category), example) == {
        "red bike": {"histories": 1, "titles": 1, "category": 1},
        "bike": {"histories": 2, "anchors": 1},
        "tent": {"personal": 1},
    }


def test_only_days_before_the_day_are_indexed(past: PastClicks) -> None:
    assert [pair.query for pair in past.before(1).pairs] == ["red bike", "red bike"]
    assert past.before(0).photo == []


def test_click_rates_compare_with_the_average_at_the_same_position(logs: ShopLogs) -> None:
    rates = logs.click_rates(before_day=1)
    # Each was shown 20 times at a position where half are clicked: 10 clicks were expected.
    assert rates.of("red bike") == pytest.approx((20 + 20) / (10 + 20))
    assert rates.of("tent") == pytest.approx(20 / (10 + 20))
    assert rates.of("never shown") == 1.0
    assert logs.click_rates(before_day=0).of("red bike") == 1.0


def test_a_table_of_the_logs_may_be_a_partitioned_folder(logs: ShopLogs, tmp_path: Path) -> None:
    folder = tmp_path / "partitioned"
    pq.write_to_dataset(pq.read_table(tmp_path / "exposures.parquet"), folder / "exposures", partition_cols=["day"])
    shutil.copy(tmp_path / "videos.parquet", folder)
    partitioned = ShopLogs(folder)
    assert partitioned.click_rates(before_day=1).relative == logs.click_rates(before_day=1).relative
    assert partitioned.category == logs.category
    with pytest.raises(InputError, match=r"partitioned/users\.parquet is missing"):
        _ = partitioned.activity


def test_a_table_that_is_missing_or_too_narrow_is_blamed_on_the_logs(logs: ShopLogs, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"users\.parquet is missing; .*docs/own_logs\.md.*`onebar world`"):
        _ = logs.activity
    pq.write_table(pa.table({"user_id": ["u"]}), tmp_path / "users.parquet")
    with pytest.raises(InputError, match=r"users\.parquet has no column activity; .*docs/own_logs\.md"):
        _ = logs.activity


def test_ids_that_are_numbers_are_those_of_the_examples(tmp_path: Path) -> None:
    videos = {"photo_id": [1, 2], "category": ["sports", None], "created_day": [0, 1]}
    pq.write_table(pa.table(videos), tmp_path / "videos.parquet")
    pq.write_table(pa.table({"photo_id": [2], "day": [0], "verdict": ["unsafe"]}), tmp_path / "reviews.parquet")
    logs = ShopLogs(tmp_path)
    assert logs.category == {"1": "sports", "2": ""}
    assert logs.reviewed_unsafe(before_day=1) == {"2"}


def test_features_say_where_a_candidate_is_from_and_how_near_it_is(
    past: PastClicks, logs: ShopLogs, embedder: StaticEmbedder, examples: Callable[..., list[Example]]
) -> None:
    recall = Recall(past, logs.category)
    [example] = examples({"photo_id": "p1", "caption": "bicycle", "histories": ["tent", "bike"]})
    rows = FeatureMaker(embedder, recall.clicks, logs.click_rates(1)).rows([example], recall.candidates([example]))
    assert rows.queries == ["tent", "bike", "red bike"]
    value = {name: rows.features[:, place].tolist() for place, name in enumerate(FEATURES)}
    assert value["1 / rank in histories"] == [1.0, 0.5, 0.0]
    assert value["1 / rank in category"] == [0.0, 0.0, 1.0]
    assert value["cosine with the video"] == pytest.approx([0, 1, 0.5**0.5], abs=1e-2)
    assert value["log clicks"] == pytest.approx([0, 0, np.log(3)], abs=1e-6)
    assert value["words"] == [1, 1, 2]


class _ByCosine(HistGradientBoostingClassifier):  # type: ignore[misc]
    """A ranker that believes the cosine, so that the other stages can be tested."""

    def predict_proba(self, features: Any) -> Any:
        chance = np.clip(features[:, VIDEO_COSINE], 0, 1)
        return np.stack([1 - chance, chance], axis=1)


@pytest.fixture
def cascade(past: PastClicks, logs: ShopLogs, embedder: StaticEmbedder) -> Cascade:
    recall = Recall(past, logs.category)
    features = FeatureMaker(embedder, recall.clicks, logs.click_rates(2))
    return Cascade(recall, features, Ranker(_ByCosine(), lowest_cosine=0.2), logs, day=2)


def test_irrelevant_candidates_are_filtered_and_the_rest_is_ranked(
    cascade: Cascade, examples: Callable[..., list[Example]]
) -> None:
    [example] = examples({"photo_id": "p1", "caption": "bicycle", "anchors": ["tent", "red bike", "bike"]})
    [ranked] = cascade.rank([example])
    assert [query for query, _ in ranked] == ["bike", "red bike"]
    assert ranked[0][1] > ranked[1][1]


def test_the_risk_filter_drops_queries_and_holds_back_videos(
    cascade: Cascade, examples: Callable[..., list[Example]]
) -> None:
    evidence = {"anchors": ["bike gun", "bike"]}
    by_query, by_rule, by_review, by_safe_review = cascade.predict(
        examples(
            {"photo_id": "p1", "caption": "bike", **evidence},
            {"photo_id": "p4", "caption": "bike", "summary": "a gun", **evidence},
            {"photo_id": "p2", "caption": "bike", **evidence},
            {"photo_id": "p3", "caption": "bike", **evidence},
        )
    )
    assert "bike gun" not in by_query
    assert "bike" in by_query
    assert by_rule == by_review == []
    assert by_safe_review


def test_a_ranker_without_a_clicked_candidate_is_refused(
    past: PastClicks, logs: ShopLogs, embedder: StaticEmbedder, examples: Callable[..., list[Example]]
) -> None:
    recall = Recall(past, logs.category)
    found = examples({"photo_id": "p1", "caption": "bike"})
    rows = FeatureMaker(embedder, recall.clicks, logs.click_rates(2)).rows(found, recall.candidates(found))
    with pytest.raises(InputError, match="never recall"):
        train_ranker(rows, ["a query that no source has"])


def test_a_day_that_the_ranker_learnt_from_is_refused(
    past: PastClicks, logs: ShopLogs, embedder: StaticEmbedder
) -> None:
    training = CascadeTraining(past, Ranker(_ByCosine(), 0.2), ranker_day=1, embedder=embedder, logs=logs)
    for day in (0, 1):
        with pytest.raises(InputError, match=f"learnt from the clicks of day 1 and cannot answer for day {day}"):
            training.as_of(day)
    assert isinstance(training.as_of(2), Cascade)
