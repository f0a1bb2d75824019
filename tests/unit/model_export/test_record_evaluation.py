"""An evaluation is recorded in the manifest and does not change the model version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from generation.bundle import load_bundle
from model_export.errors import ExportError
from model_export.record_evaluation import read_report, record_evaluation
from tests.fixtures.tiny_bundle import build_tiny_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return build_tiny_bundle(tmp_path / "tiny", seed=0)


def world() -> dict[str, Any]:
    estimate = {"mean": 0.5, "interval": [0.4, 0.6]}
    view = {"hr": estimate, "mrr": estimate, "bleu": estimate, "empty": 0.0}
    return {
        "examples": 10,
        "videos": 4,
        "systems": {"tiny": {"as_served": view, "decontaminated": view, "slices": {}}},
        "reading": {"tiny": {"text": {"clicks": 3, "share": 0.3, "recall": {"tiny": estimate}}}},
        "new_targets": {"tiny": {"target unseen": {"examples": 2, "hr": 0.5, "mrr": 0.25}}},
        "entities": {"tiny": {"queries": 80, "wrong": estimate, "brand": 0.5, "answered": 1.0}},
    }


def report(version: str) -> dict[str, Any]:
    return {
        **world(),
        "split": "test",
        "bundles": {"tiny": {"model_version": version, "precision": "int8"}},
        "unseen": {"other": {**world(), "entities": None}},
        "abstention": {"tiny": {"threshold": 0.5, "videos": 5, "unsafe": 1, "precision": 1.0, "recall": 0.9}},
    }


def test_metrics_are_recorded_and_the_model_stays_the_same(bundle: Path) -> None:
    before = load_bundle(bundle)
    record_evaluation(bundle, report(before.model_version))
    after = load_bundle(bundle)
    assert after.model_version == before.model_version
    measured = json.loads((bundle / "manifest.json").read_text())["metrics"]["test"]
    means = {"hr": 0.5, "mrr": 0.5, "bleu": 0.5}
    assert measured["systems_at_8"]["tiny"] == {"as_served": means, "decontaminated": means}
    assert measured["reject"] == {"threshold": 0.5, "videos": 5, "unsafe": 1, "precision": 1.0, "recall": 0.9}


def test_an_unseen_world_is_recorded_by_its_ranks_and_by_what_the_bundle_reads(bundle: Path) -> None:
    record_evaluation(bundle, report(load_bundle(bundle).model_version))
    measured = json.loads((bundle / "manifest.json").read_text())["metrics"]["test"]
    ranks = {"hr": 0.5, "mrr": 0.5}
    reads = {
        "reading_recall": {"text": {"clicks": 3, "tiny": 0.5}},
        "new_targets": {"target unseen": {"clicks": 2, "hr": 0.5, "mrr": 0.25}},
    }
    assert measured["unseen"]["other"] == {
        "clicks": 10,
        "videos": 4,
        "systems_at_8": {"tiny": {"as_served": ranks, "decontaminated": ranks}},
        **reads,
        "wrong_entities": None,
    }
    assert {name: measured[name] for name in reads} == reads
    assert measured["wrong_entities"] == {"tiny": {"wrong": 0.5, "answered": 1.0}}


def test_a_report_about_another_model_is_refused(bundle: Path) -> None:
    with pytest.raises(ExportError, match="about 0123456789ab, not about"):
        record_evaluation(bundle, report("0123456789ab"))


def test_what_is_no_report_is_refused(bundle: Path) -> None:
    with pytest.raises(ExportError, match="onebar evaluate"):
        record_evaluation(bundle, {"hello": 1})


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_a_file_that_is_no_report_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "evaluation.json").write_text(text)
    with pytest.raises(ExportError, match=r"evaluation\.json is not .*onebar evaluate"):
        read_report(tmp_path / "evaluation.json")
