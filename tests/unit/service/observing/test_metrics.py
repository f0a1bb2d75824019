"""What the metrics of the service count."""

from __future__ import annotations

from service.observing.metrics import Metrics


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_an_answer_that_is_degraded_for_two_causes_counts_once_and_under_each_cause() -> None:
    metrics = Metrics()
    assert value(metrics, "onebar_answers_with_degradation_total") == 0
    metrics.answer("recommend", None, ("deadline", "embedding_version"), {})
    metrics.answer("recommend", None, (), {})
    assert value(metrics, "onebar_answers_with_degradation_total") == 1
    assert value(metrics, "onebar_answers_total", decision="recommend", reason="") == 2
    for cause in ("deadline", "embedding_version"):
        assert value(metrics, "onebar_degraded_answers_total", cause=cause) == 1
