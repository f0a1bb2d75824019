"""The paper's three cases (reject, complete, compose): what makes each hard, and what the shipped bundle does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import demo
from evaluation.baselines import CopyEvidence
from evaluation.inputs import Example
from evaluation.metrics import score
from evaluation.predict import BundlePredictor
from evaluation.reading import fields_with
from evaluation.simulation.arms import BundleArm
from evaluation.words import words_of
from evidence.safety import ProhibitedTerms
from evidence.schema import RawText

FIXTURES = Path(__file__).parents[2] / "fixtures" / "paper_cases.yaml"
CASES: dict[str, dict[str, Any]] = yaml.safe_load(FIXTURES.read_text(encoding="utf-8"))
WRITTEN = ("complete", "compose")


def example(name: str) -> Example:
    given = CASES[name]["evidence"]
    lists = {field: tuple(given.get(field, ())) for field in ("anchors", "histories", "personal")}
    return Example(
        name, name, "viewer", "bar", CASES[name]["target"], RawText(caption=given["text"]), given.get("summary"),
        photo_new=False, **lists,
    )  # fmt: skip


@pytest.fixture(scope="module")
def shipped() -> BundlePredictor:
    return BundlePredictor(Path(demo.__file__).parent / "bundle")


@pytest.mark.parametrize("name", WRITTEN)
def test_the_target_stands_in_no_list_so_copying_an_entry_cannot_answer(name: str) -> None:
    case = example(name)
    assert not fields_with(case.target, case.evidence())
    [copied] = CopyEvidence(("histories", "anchors", "personal")).predict([case])
    assert score(copied, case.target)[0] == 0


@pytest.mark.parametrize("name", WRITTEN)
def test_every_word_of_the_target_stands_in_the_fields_that_the_case_names(name: str) -> None:
    evidence, origins = example(name).evidence(), CASES[name]["words_from"]
    words = {
        "text": set(words_of(evidence.text)),
        **{field: {w for q in getattr(evidence, field) for w in words_of(q)} for field in ("anchors", "personal")},
    }
    assert set(origins) == set(words_of(CASES[name]["target"]))
    for word, fields in origins.items():
        assert [field for field in words if word in words[field]] == fields


def test_copying_would_show_the_risky_query_of_the_case_to_reject() -> None:
    [copied] = CopyEvidence().predict([example("reject")])
    assert CASES["reject"]["never_shown"] in copied


def test_the_check_after_generation_never_shows_the_risky_query(shipped: BundlePredictor) -> None:
    rule = CASES["reject"]["prohibited"]
    terms = ProhibitedTerms([(rule["category"], rule["term"])])
    assert terms.find(CASES["reject"]["never_shown"]) is not None
    [bar] = BundleArm(shipped, terms).bars([example("reject")])
    assert CASES["reject"]["never_shown"] not in bar.queries


@pytest.mark.xfail(reason="the shipped bundle rejects the case, whose words are in no demo world", strict=True)
def test_the_shipped_bundle_completes_the_suffix_of_the_model(shipped: BundlePredictor) -> None:
    [answer] = shipped.predict([example("complete")])
    assert answer[:1] == [CASES["complete"]["target"]]


def test_the_completed_query_is_among_the_hypotheses_of_the_shipped_bundle(shipped: BundlePredictor) -> None:
    [answer] = shipped.answers([example("complete").evidence()])
    assert CASES["complete"]["target"] in answer.queries


@pytest.mark.xfail(reason="the shipped bundle does not compose a query from two sentences", strict=True)
def test_the_shipped_bundle_composes_disease_and_wording(shipped: BundlePredictor) -> None:
    [answer] = shipped.predict([example("compose")])
    assert CASES["compose"]["target"] in answer


def test_the_shipped_bundle_rejects_a_sparse_association(shipped: BundlePredictor) -> None:
    assert shipped.predict([example("reject")]) == [[]]
