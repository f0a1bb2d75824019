"""Percentiles, histograms, and the gate."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from loadtest.gate import Objective, violations
from loadtest.histograms import STAGE_METRIC, Scrape, quantile, stage_quantiles_ms
from loadtest.open_loop import find_knee
from loadtest.report import render, summarise
from loadtest.samples import Outcome, Sample, judge_call, percentile, read_samples, write_samples
from loadtest.traffic import BATCH, WARM, Call

TIMINGS = {"feature_store": 1.0, "render": 0.1, "queue": 0.0, "encode": 2.0, "decode": 6.0, "policy": 0.1, "total": 9.5}
SHOWN = Outcome("recommend", None, (), TIMINGS)
REJECTED = Outcome("abstain", "model_reject", (), TIMINGS)
CUT = Outcome("recommend", None, ("deadline",), TIMINGS)


def sample(latency_ms: float = 10.0, outcome: Outcome = SHOWN, **changes: Any) -> Sample:
    return replace(Sample(WARM, 1.0, 0.1, latency_ms, 200, (), (outcome,)), **changes)


def missed(samples: list[Sample], rate: float = 100.0, seconds: float = 1.0) -> list[str]:
    return violations(samples, rate, seconds, Objective())


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (90, 90), (99, 99), (100, 100), (1, 1), (99.5, 100)])
def test_percentiles_by_nearest_rank(percent: float, expected: float) -> None:
    assert percentile([float(value) for value in range(100, 0, -1)], percent) == expected


def test_there_is_no_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="of nothing"):
        percentile([], 50)


def test_a_good_run_passes() -> None:
    assert missed([sample()] * 100) == []


def test_one_slow_call_in_a_hundred_is_allowed_and_two_are_not() -> None:
    assert missed([sample()] * 99 + [sample(80.0)]) == []
    assert missed([sample()] * 98 + [sample(80.0)] * 2) == ["p99 of /recommend is 80.1 ms, over 30 ms"]


def test_a_call_that_leaves_late_has_waited_since_it_was_due() -> None:
    assert missed([sample(29.0, lag_ms=19.0)] * 100) == ["p99 of /recommend is 48.0 ms, over 30 ms"]


def test_refused_calls_are_no_fast_answers() -> None:
    """Half are refused at once; 2 % of the answers are slow, so they are 1 % of the calls."""
    refused = [sample(2.0, status=429, outcomes=())] * 100
    found = violations([*refused, *[sample()] * 98, *[sample(45.0)] * 2], 200.0, 1.0, Objective(max_degraded_share=0.6))
    assert found == ["p99 of /recommend is 45.1 ms, over 30 ms"]


def test_batches_do_not_count_for_the_latency_of_recommend() -> None:
    assert missed([sample()] * 95 + [sample(80.0, scenario=BATCH)] * 5) == []


def test_the_gate_is_not_passed_by_cutting_answers_short() -> None:
    (sentence,) = missed([sample()] * 90 + [sample(outcome=CUT)] * 10)
    assert sentence.startswith("10.0% of the calls got less than a whole answer (10 degraded or cut, 0 refused")


def test_nor_by_refusing_calls() -> None:
    (sentence,) = missed([sample()] * 90 + [sample(status=429, outcomes=())] * 10)
    assert "0 degraded or cut, 10 refused" in sentence


def test_nor_by_abstaining() -> None:
    assert missed([sample()] * 70 + [sample(outcome=REJECTED)] * 30) == [
        "70.0% of the answers show something, under 75%"
    ]


def test_a_single_wrong_answer_fails_the_run() -> None:
    (sentence,) = missed([sample()] * 999 + [sample(faults=("rank 2 stands at place 1",))], rate=1000)
    assert sentence == "1 answers are wrong (1 x stored: rank 2 stands at place 1)"


def test_a_run_that_did_not_send_its_rate_is_void() -> None:
    assert missed([sample()] * 90) == []
    assert "the run is void" in missed([sample()] * 59)[0]
    assert "short of CPU" in missed([sample(lag_ms=50.0)] * 100)[-1]


def test_a_run_without_answers_says_what_came_instead() -> None:
    assert missed([]) == ["no call of /recommend was answered"]
    refused = sample(status=401, outcomes=(), faults=("status 401: no key",))
    assert missed([refused] * 2) == [
        "no call of /recommend was answered", "2 answers are wrong (2 x stored: status 401: no key)"
    ]  # fmt: skip


def test_the_knee_is_below_the_first_rate_that_misses() -> None:
    assert find_knee({10: True, 20: True, 40: False, 80: True}) == 20
    assert find_knee({10: False}) is None


def test_quantiles_are_linear_within_a_bucket() -> None:
    buckets = {0.010: 0.0, 0.020: 100.0, math.inf: 100.0}
    assert quantile(buckets, 0.5) == pytest.approx(0.015)
    assert quantile({0.010: 50.0, math.inf: 100.0}, 0.99) == 0.010
    assert math.isnan(quantile({}, 0.5))


def test_stage_quantiles_are_those_of_the_time_between_two_scrapes() -> None:
    registry = CollectorRegistry()
    stages = Histogram(STAGE_METRIC, "Stages.", ["stage"], registry=registry, buckets=(0.001, 0.002, 0.004))
    stages.labels("encode").observe(0.1)
    before = Scrape.parse(generate_latest(registry).decode())
    for _ in range(10):
        stages.labels("encode").observe(0.0015)
    stages.labels("total").observe(0.003)
    delta = Scrape.parse(generate_latest(registry).decode()).since(before)
    assert delta.total(f"{STAGE_METRIC}_count", stage="encode") == 10
    found = stage_quantiles_ms(delta, ("encode", "decode", "total"), (0.5,))
    assert found == {"encode": [pytest.approx(1.5)], "total": [pytest.approx(3.0)]}


def test_a_call_is_judged_by_status_and_body() -> None:
    call = Call(WARM, "/recommend", {"photo_id": "p1"})
    assert judge_call(call, 429, b"{}") == ([], [])
    assert judge_call(call, 500, b"oops") == (["status 500: oops"], [])
    assert judge_call(call, 200, b"<html>") == (["the body is not JSON"], [])


def test_samples_survive_their_file(tmp_path: Path) -> None:
    samples = [sample(), sample(outcome=CUT, faults=("wrong",))]
    write_samples(tmp_path / "samples.jsonl", samples)
    assert read_samples(tmp_path / "samples.jsonl") == samples


def test_the_report_names_what_was_seen() -> None:
    samples = [sample(10.0), sample(20.0, CUT), sample(30.0, REJECTED), sample(status=429, outcomes=())]
    summary = summarise(samples, None)
    assert summary["client_ms"]["/recommend"]["count"] == 3
    assert summary["client_ms"]["/recommend"]["max"] == 30.1
    assert summary["decisions"] == {"recommend": 2, "abstain/model_reject": 1}
    text = render(summary)
    assert "abstain/model_reject 1 (33.3%)" in text
    assert "deadline 1 (33.3%)" in text
    assert "refused (429)   1" in text
