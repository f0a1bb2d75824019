"""Views, slices and differences of predictors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from evaluation.baselines import CopyEvidence
from evaluation.inputs import Example
from evaluation.metrics import METRICS
from evaluation.slices import slice_report, slices
from evaluation.systems import System, run_system, summarize, summarize_difference, summarize_slices

HR = METRICS.index("hr")
NEW = np.array([False, True, False])


@pytest.fixture
def held_out(examples: Callable[..., list[Example]]) -> list[Example]:
    return examples(
        {"photo_id": "p0", "target": "bike", "histories": ["bike", "tent"], "caption": "a bike"},
        {"photo_id": "p1", "target": "bike", "personal": ["bike"], "source": "post_video", "photo_new": True},
        {"photo_id": "p2", "target": "kettle", "anchors": ["lamp"], "summary": "a kettle"},
    )


def copy_all(name: str = "copy") -> System:
    fields = ("histories", "anchors", "personal")
    return System(name, CopyEvidence(fields).predict, fields)


def test_each_view_takes_away_more_of_what_contains_the_target(held_out: list[Example]) -> None:
    outcomes = run_system(copy_all(), held_out)
    hits = {view: outcome.scores[:, HR].tolist() for view, outcome in outcomes.items()}
    assert hits == {
        "as_served": [1, 1, 0],
        "decontaminated": [0, 1, 0],
        "decontaminated_personal": [0, 0, 0],
    }
    assert outcomes["as_served"].empty == 0.0
    assert outcomes["decontaminated_personal"].empty == pytest.approx(1 / 3)


def test_the_answers_of_a_view_are_kept(held_out: list[Example]) -> None:
    outcomes = run_system(copy_all(), held_out)
    assert outcomes["as_served"].predictions == [["bike", "tent"], ["bike"], ["lamp"]]
    assert outcomes["decontaminated"].predictions == [["tent"], ["bike"], ["lamp"]]
    assert outcomes["as_served"].hits.tolist() == [1, 1, 0]


def test_what_does_not_read_a_field_is_not_run_again(held_out: list[Example]) -> None:
    runs = []

    def predict(examples: Sequence[Example]) -> list[list[str]]:
        runs.append(len(examples))
        return [["bike"] for _ in examples]

    outcomes = run_system(System("blind", predict), held_out)
    assert runs == [3]
    assert len(outcomes) == 3


def test_slices_cut_by_source_age_and_fields(held_out: list[Example]) -> None:
    masks = slices(held_out)
    assert masks["source post_video"].tolist() == [False, True, False]
    assert masks["video new"].tolist() == [False, True, False]
    assert masks["histories present"].tolist() == [True, False, False]
    assert masks["summary absent"].tolist() == [True, True, False]
    assert all((masks[f"{f} present"] ^ masks[f"{f} absent"]).all() for f in ("text", "anchors", "personal", "caption"))


def test_slices_without_examples_are_left_out(held_out: list[Example]) -> None:
    outcome = run_system(copy_all(), held_out[:1])["as_served"]
    summary = summarize_slices(outcome, slices(held_out[:1]))
    assert summary["histories present"] == {"examples": 1, "hr": 1.0, "mrr": 1.0}
    assert "histories absent" not in summary


def test_means_lie_in_their_intervals(held_out: list[Example]) -> None:
    photos = [example.photo_id for example in held_out]
    summary = summarize(run_system(copy_all(), held_out)["as_served"], photos, NEW)
    low, high = summary["hr"]["interval"]
    assert summary["hr"]["mean"] == pytest.approx(2 / 3, abs=1e-4)
    assert low <= summary["hr"]["mean"] <= high
    assert summary["hr_new"] == {"mean": 1.0, "interval": [1.0, 1.0]}  # one click on a new video, answered


def test_a_system_does_not_differ_from_itself(held_out: list[Example]) -> None:
    outcome = run_system(copy_all(), held_out)["as_served"]
    difference = summarize_difference(outcome, outcome, [example.photo_id for example in held_out], NEW)
    assert all(np.allclose([value["mean"], *value["interval"]], 0) for value in difference.values())


def test_histories_fall_into_buckets_of_size(examples: Callable[..., list[Example]]) -> None:
    held_out = examples(*({"histories": [f"bike {n}" for n in range(size)]} for size in (0, 1, 3, 4, 10)))
    masks = slices(held_out)
    assert masks["histories 0"].tolist() == [True, False, False, False, False]
    assert masks["histories 1 to 3"].tolist() == [False, True, True, False, False]
    assert masks["histories 4 to 7"].tolist() == [False, False, False, True, False]
    assert masks["histories 8 and more"].tolist() == [False, False, False, False, True]


def test_a_slice_has_intervals_and_compares_a_model_with_every_other_system(held_out: list[Example]) -> None:
    copied = run_system(copy_all("model"), held_out)["as_served"]
    nothing = run_system(System("nothing", lambda given: [[] for _ in given]), held_out)["as_served"]
    photos = [example.photo_id for example in held_out]
    report = slice_report({"model": copied, "nothing": nothing}, slices(held_out), photos, ["model"])
    new = report["video new"]
    assert new["examples"] == 1
    assert new["hr"] == {name: {"mean": hr, "interval": [hr, hr]} for name, hr in (("model", 1.0), ("nothing", 0.0))}
    assert new["mrr"] == {"model": 1.0, "nothing": 0.0}
    assert new["differences"] == {"model - nothing": {"mean": 1.0, "interval": [1.0, 1.0]}}
