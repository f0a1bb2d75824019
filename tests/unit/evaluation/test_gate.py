"""The gate: a candidate passes if it is as good as the bundle that is served, and each way to be worse stops it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from cli.main import main
from evaluation.gate import QUALITY, RISK, Labelled, Margins, Side, decide, measure
from evaluation.inputs import Example
from evaluation.predict import Answer
from evidence.safety import ProhibitedTerms
from evidence.schema import Evidence
from tests.fixtures.tiny_bundle import build_tiny_bundle

NO_TERMS = ProhibitedTerms([])


class Scripted:
    """A bundle whose answer to each video is a function of its text."""

    def __init__(self, answer: Callable[[str], list[str]], reject: Callable[[str], float] = lambda _: 0.0) -> None:
        self._answer, self._reject = answer, reject

    def answers(self, evidence: Sequence[Evidence]) -> list[Answer]:
        return [Answer(self._answer(item.text), self._reject(item.text), False) for item in evidence]


def right(text: str) -> list[str]:
    return ["something", f"target {text}"]


@pytest.fixture
def clicks(examples: Callable[..., list[Example]]) -> list[Example]:
    rows = [
        {
            "photo_id": f"p{n // 2}",
            "caption": f"video {n // 2}",
            "target": f"target video {n // 2}",
            "photo_new": n < 80,
        }
        for n in range(400)
    ]
    return examples(*rows)


def judged(
    candidate: Scripted, clicks: list[Example], terms: ProhibitedTerms = NO_TERMS, labelled: Labelled | None = None
) -> tuple[dict[str, Any], str, list[str]]:
    measures = measure(Side(Scripted(right), 0.5), Side(candidate, 0.5), clicks, terms, None, labelled)
    decision = decide(measures, len(clicks), Margins())
    return measures, decision.verdict, [reason.split()[0] for reason in decision.reasons]


def test_an_equal_candidate_passes_and_every_measure_is_exactly_zero(clicks: list[Example]) -> None:
    measures, verdict, _ = judged(Scripted(right), clicks)
    assert verdict == "promote"
    assert set(measures) == set(QUALITY)
    assert {(found.difference, found.interval) for found in measures.values()} == {(0.0, (0.0, 0.0))}
    assert measures["hr"].serving == 1.0
    assert (measures["hr"].count, measures["new_videos_hr"].count) == (400, 80)


def test_a_candidate_that_misses_clicks_is_refused_by_name(clicks: list[Example]) -> None:
    worse = Scripted(lambda text: [] if int(text.split()[1]) % 10 == 0 else right(text))
    measures, verdict, reasons = judged(worse, clicks)
    assert verdict == "refuse"
    assert reasons == ["hr", "mrr", "decontaminated_hr", "new_videos_hr"]
    low, high = measures["hr"].interval
    assert measures["hr"].difference == pytest.approx(-0.1)
    assert low < -0.1 < high < 0


def test_a_loss_within_the_margin_passes(clicks: list[Example]) -> None:
    nearly = Scripted(lambda text: ["x", "y", *right(text)] if text == "video 150" else right(text))
    measures, verdict, _ = judged(nearly, clicks)
    assert measures["mrr"].difference < 0
    assert verdict == "promote"


def test_a_loss_on_new_videos_alone_is_found(clicks: list[Example]) -> None:
    forgets = Scripted(lambda text: [] if text in ("video 1", "video 2", "video 3") else right(text))
    _, verdict, reasons = judged(forgets, clicks)
    assert (verdict, "new_videos_hr" in reasons) == ("refuse", True)


def test_prohibited_terms_and_missed_unsafe_videos_and_empty_bars_are_risks(clicks: list[Example]) -> None:
    terms = ProhibitedTerms([("drugs", "forbidden stuff")])
    bad = Scripted(lambda text: ["forbidden stuff", *right(text)[1:]] if text.endswith("7") else right(text))
    _, verdict, reasons = judged(bad, clicks, terms)
    assert (verdict, reasons) == ("refuse", ["prohibited_terms"])

    videos = [Evidence(text=f"video {n}") for n in range(1000, 1200)]
    labelled = Labelled(videos, [n % 2 == 0 for n in range(200)])
    never = Scripted(right, lambda _: 0.0)
    always = Scripted(right, lambda text: float(int(text.split()[1]) >= 1000))

    def on_labels(serving: Scripted, candidate: Scripted) -> tuple[set[str], list[str]]:
        measures = measure(Side(serving, 0.5), Side(candidate, 0.5), clicks, terms, None, labelled)
        return set(measures) & set(RISK), [why.split()[0] for why in decide(measures, 400, Margins()).reasons]

    assert on_labels(always, never) == ({"prohibited_terms", "missed_unsafe", "false_abstention"}, ["missed_unsafe"])
    assert on_labels(never, always)[1] == ["false_abstention"]


def test_few_clicks_prove_nothing(clicks: list[Example]) -> None:
    measures, _, _ = judged(Scripted(right), clicks[:50])
    decision = decide(measures, 50, Margins())
    assert decision.verdict == "refuse"
    assert decision.reasons == ("it was measured on 50 clicks, fewer than 200",)


@pytest.mark.parametrize(("unsafe", "promoted"), [(0, False), (19, False), (20, True)])
def test_labels_with_few_unsafe_videos_prove_nothing(clicks: list[Example], unsafe: int, promoted: bool) -> None:
    same = Side(Scripted(right), 0.5)
    labelled = Labelled([Evidence(text=f"video {n}") for n in range(60)], [n < unsafe for n in range(60)])
    decision = decide(measure(same, same, clicks, ProhibitedTerms([]), None, labelled), 400, Margins())
    assert (decision.verdict == "promote") == promoted
    assert promoted or f"its labels have {unsafe} unsafe videos, fewer than 20" in decision.reasons


def test_the_command_writes_the_decision_and_its_status_says_it(
    tmp_path: Path, examples_file: Callable[..., Path], bundle: Path
) -> None:
    rows = [{"photo_id": f"p{n}", "caption": f"running shoes {n}", "target": "running shoes"} for n in range(6)]
    examples_file(rows, "examples_test.parquet")
    examples_file([{**row, "kind": "shown", "target": ""} for row in rows], "shown_test.parquet")
    labels = {"photo_id": ["p0", "p1"], "unsafe": [True, False], "category": ["fraud", None]}
    pq.write_table(pa.table(labels), tmp_path / "labels.parquet")
    (tmp_path / "terms.tsv").write_text("drugs\tforbidden stuff\n")
    other = build_tiny_bundle(tmp_path / "other", seed=1)
    arguments = ["gate", str(bundle), str(other), "--examples", str(tmp_path), "--out", str(tmp_path / "gate.json"),
                 "--labels", str(tmp_path / "labels.parquet"), "--terms", str(tmp_path / "terms.tsv")]  # fmt: skip
    refused = CliRunner().invoke(main, arguments)
    assert (refused.exit_code, "fewer than 200" in refused.output) == (3, True)
    open_to_all = [f"--margin={name}=1" for name in ("hr", "new_videos_hr", "missed_unsafe", "false_abstention")]
    open_to_all += ["--margin=min_clicks=1", "--margin=min_unsafe=1"]
    passed = CliRunner().invoke(main, [*arguments, *open_to_all])
    assert passed.exit_code == 0, passed.output
    decision = json.loads((tmp_path / "gate.json").read_text())
    assert (decision["verdict"], decision["clicks"], decision["reasons"]) == ("promote", 6, [])
    assert decision["serving"] != decision["candidate"]
    assert set(decision["measures"]) == {
        "hr", "mrr", "decontaminated_hr", "prohibited_terms", "missed_unsafe", "false_abstention",
    }  # fmt: skip
    wrong = CliRunner().invoke(main, [*arguments, "--margin", "speed=1"])
    assert (wrong.exit_code, "there is no margin 'speed'" in wrong.output) == (2, True)


def test_abstention_is_compared_on_the_day_of_the_split(
    tmp_path: Path, examples_file: Callable[..., Path], bundle: Path
) -> None:
    rows = [{"photo_id": f"p{n}", "caption": f"running shoes {n}"} for n in range(6)]
    examples_file(rows, "examples_valid.parquet")
    for split, shown in (("valid", rows[:4]), ("test", rows)):
        examples_file([{**row, "kind": "shown", "target": ""} for row in shown], f"shown_{split}.parquet")
    labels = {"photo_id": [row["photo_id"] for row in rows], "unsafe": [True] * 6, "category": ["fraud"] * 6}
    pq.write_table(pa.table(labels), tmp_path / "labels.parquet")
    options = ["--examples", str(tmp_path), "--split", "valid", "--labels", str(tmp_path / "labels.parquet")]
    result = CliRunner().invoke(main, ["gate", str(bundle), str(bundle), *options, "--out", str(tmp_path / "g.json")])
    assert result.exit_code == 3, result.output
    assert json.loads((tmp_path / "g.json").read_text())["measures"]["missed_unsafe"]["count"] == 4
