"""Views, slices and differences of predictors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from evaluation.baselines import CopyEvidence
from evaluation.inputs import Example
from evaluation.metrics import METRICS
from evaluation.systems import System, run_system, slices, summarize, summarize_difference, summarize_slices

HR = METRICS.index("hr")


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
    summary = summarize(run_system(copy_all(), held_out)["as_served"], photos)
    low, high = summary["hr"]["interval"]
    assert summary["hr"]["mean"] == pytest.approx(2 / 3, abs=1e-4)
    assert low <= summary["hr"]["mean"] <= high


def test_a_system_does_not_differ_from_itself(held_out: list[Example]) -> None:
    outcome = run_system(copy_all(), held_out)["as_served"]
    difference = summarize_difference(outcome, outcome, [example.photo_id for example in held_out])
    assert all(np.allclose([value["mean"], *value["interval"]], 0) for value in difference.values())
