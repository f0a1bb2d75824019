"""The metrics and labels in alerts and dashboards exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from service.observing.metrics import Metrics

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARDS = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
# Prometheus itself adds these to every target.
FROM_THE_SCRAPE = {"up", "job", "instance"}
GAUGES = {
    "queue_depth", "requests_in_flight", "ready", "generation_estimate_seconds", "engine_active_requests",
    "engine_stalled_seconds", "event_loop_lag_max_seconds", "feature_store_circuit",
    "result_cache_entries",
    "result_cache_bytes", "query_cache_entries", "query_cache_bytes", "vector_cache_entries", "vector_cache_bytes",
}  # fmt: skip
SAMPLE = re.compile(r"\b((?:onebar|process)_\w+|up\b)(?:\{([^}]*)\})?")
RECORD = re.compile(r"\bonebar:[\w:]+")
LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"([^\"]*)\"")


@pytest.fixture(scope="module")
def exposed() -> dict[str, list[dict[str, str]]]:
    """Sample name to the label sets of its series, of a service that has had every kind of outcome."""
    metrics = Metrics()
    metrics.describe_model(model_version="0123456789ab", precision="int8")
    for gauge in GAUGES:
        metrics.watch(gauge, "A gauge.", lambda: 1.0)
    metrics.http("/recommend", 200)
    metrics.bundles.answer("0123456789ab", "recommend")
    found: dict[str, list[dict[str, str]]] = {}
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def expressions() -> Iterator[tuple[str, str]]:
    for rule in rules():
        yield rule.get("alert") or rule["record"], rule["expr"]
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel["targets"]:
                yield f"{path.name}: {panel['title']}", target["expr"]


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_every_metric_in_an_expression_exists_with_its_labels(
    where: str, expression: str, exposed: dict[str, list[dict[str, str]]]
) -> None:
    asked = SAMPLE.findall(expression)
    assert asked or RECORD.search(expression), f"{where} asks for no metric"
    for name, selector in asked:
        if name in FROM_THE_SCRAPE:
            continue
        assert name in exposed, f"{where}: the service has no metric {name}"
        for label, value in LABEL.findall(selector):
            if label in FROM_THE_SCRAPE:
                continue
            values = {series.get(label) for series in exposed[name]}
            assert None not in values, f"{where}: {name} has no label {label}"
            if re.fullmatch(r"[\w|]+", value) and label in ("stage", "cause", "reason", "decision"):
                assert set(value.split("|")) <= values, f"{where}: {label} of {name} is never {value}"


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_every_recorded_series_in_an_expression_has_a_rule(where: str, expression: str) -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    assert set(RECORD.findall(expression)) <= recorded, where


@pytest.mark.parametrize(
    ("title", "share"),
    [("Degraded answers", "onebar:degraded_answers:share5m"), ("Refused with 429", "onebar:refused_requests:share5m")],
)
def test_a_share_on_the_dashboard_is_that_of_its_alert(title: str, share: str) -> None:
    drawn = [expression for where, expression in expressions() if where == f"onebar.json: {title}"]
    assert drawn == [share]
    assert [rule["alert"] for rule in rules() if "alert" in rule and share in rule["expr"]]


def test_every_metric_of_the_service_is_on_the_dashboard(exposed: dict[str, list[dict[str, str]]]) -> None:
    drawn = " ".join(expression for _, expression in expressions())
    families = {
        re.sub(r"_(bucket|count|sum|total|created)$", "", name) for name in exposed if name.startswith("onebar_")
    }
    assert sorted(name for name in families if name not in drawn) == []


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    documents = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in PROMETHEUS.glob("alerts_*test.yml")]
    cases = [case for document in documents for test in document["tests"] for case in test.get("alert_rule_test", [])]
    alerts = {rule["alert"] for rule in rules() if "alert" in rule}
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == alerts
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == alerts


def test_every_alert_has_a_severity_a_summary_and_a_description() -> None:
    for rule in rules():
        if "alert" in rule:
            assert rule["labels"]["severity"] in ("page", "ticket"), rule["alert"]
            assert {"summary", "description"} <= rule["annotations"].keys(), rule["alert"]


def test_every_alert_is_in_the_operations_manual() -> None:
    manual = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert [rule["alert"] for rule in rules() if "alert" in rule and rule["alert"] not in manual] == []


def test_the_gauges_of_this_test_equal_those_of_the_service() -> None:
    source = (ROOT / "service" / "instance.py").read_text(encoding="utf-8")
    assert set(re.findall(r"watch\(\s*\"(\w+)\"", source)) == GAUGES


def test_prometheus_loads_the_rules_and_panels_have_a_data_source() -> None:
    prometheus = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))
    assert prometheus["rule_files"] == ["alerts.yml"]
    provisioning = ROOT / "deploy" / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text(encoding="utf-8"))[
        "datasources"
    ]
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            assert panel["datasource"]["uid"] == source["uid"]
    ids = [panel["id"] for path in DASHBOARDS for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]]
    assert len(ids) == len(set(ids))
