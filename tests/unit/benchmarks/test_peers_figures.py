"""Percentiles, ratios, and the bars that they are held against."""

from __future__ import annotations

import pytest

from benchmarks.peers.figures import ALONE, CTRANSLATE2, ENGINE, IN_FLIGHT, Block, hold, ratio, summarize


def block(*milliseconds: float, throughput: float = 100.0, cores: float = 1.0) -> Block:
    return Block([value / 1000 for value in milliseconds], throughput, cores)


def test_percentiles_are_over_the_requests_of_all_rounds() -> None:
    found = summarize([block(1, 2, 3), block(10, 20)])
    assert found["requests"] == 5
    assert found["p50_ms"] == 3
    assert found["p99_ms"] == pytest.approx(19.6)
    assert found["per_round"]["p50_ms"] == [2, 15]


def test_throughput_is_the_median_of_rounds_so_that_a_disturbed_one_does_not_count() -> None:
    found = summarize([block(1, throughput=90), block(1, throughput=100), block(1, throughput=3)])
    assert found["throughput"] == 90


def test_cpu_time_of_a_request_does_not_grow_where_the_core_was_shared() -> None:
    undisturbed, halved = block(4, throughput=250, cores=1.0), block(8, throughput=125, cores=0.5)
    assert summarize([undisturbed])["cpu_ms"] == summarize([halved])["cpu_ms"] == 4


def test_a_ratio_compares_rounds_with_the_same_round() -> None:
    ours = summarize([block(5), block(50)])  # the machine was ten times slower in the second round, for both
    theirs = summarize([block(10), block(100)])
    assert ratio(ours, theirs, "p50_ms") == {"ratio": 0.5, "min": 0.5, "max": 0.5}


def test_a_contender_of_fewer_rounds_is_compared_in_those() -> None:
    found = ratio(summarize([block(5), block(6)]), summarize([block(10)]), "p50_ms")
    assert (found["min"], found["max"]) == (0.5, 0.5)


def phases(engine_ms: float, peer_ms: float) -> dict[str, dict[str, dict[str, object]]]:
    return {
        ALONE: {
            ENGINE: summarize([block(engine_ms, throughput=100)]),
            CTRANSLATE2: summarize([block(peer_ms, throughput=100)]),
        },
        "16": {
            IN_FLIGHT: summarize([block(90, throughput=150)]),
            CTRANSLATE2: summarize([block(90, throughput=100)]),
        },
    }


def test_latency_must_not_be_over_its_bar_and_throughput_not_under() -> None:
    found = {bar["text"]: (bar["ratio"], bar["met"]) for bar in hold("w256", phases(7.5, 10.0))}
    assert found["latency alone / CTranslate2"] == (0.75, True)
    assert found["throughput at 16 / own alone"] == (1.5, False)
    assert found["throughput at 16 / CTranslate2"] == (1.5, True)
    missed = {bar["text"]: bar["met"] for bar in hold("w256", phases(7.6, 10.0))}
    assert missed["latency alone / CTranslate2"] is False


def test_bars_of_other_sizes_and_of_contenders_not_run_are_left_out() -> None:
    assert "latency alone / optimum" not in {bar["text"] for bar in hold("w256", phases(1, 1))}
    assert [bar["wanted"] for bar in hold("w768", phases(1, 1))] == [0.80]
    assert hold("trained", phases(1, 1)) == []
