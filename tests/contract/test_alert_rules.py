"""promtool accepts the configuration of Prometheus, and the alerts pass their tests."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

PROMETHEUS = Path(__file__).parents[2] / "deploy" / "prometheus"


@pytest.fixture(scope="module")
def promtool() -> str:
    """The command; `make test` installs it."""
    beside = Path(sys.executable).with_name("promtool")
    found = str(beside) if beside.exists() else shutil.which("promtool")
    if found is None:
        pytest.fail("promtool is missing; run: make promtool")
    return found


def run(promtool: str, *arguments: str) -> str:
    done = subprocess.run([promtool, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_prometheus_accepts_its_configuration_and_the_rules(promtool: str) -> None:
    assert "rules found" in run(promtool, "check", "rules", "alerts.yml")
    assert "1 rule files found" in run(promtool, "check", "config", "prometheus.yml")


def test_every_case_of_the_alert_tests_passes(promtool: str) -> None:
    assert run(promtool, "test", "rules", "alerts_test.yml", "alerts_day_test.yml").count("SUCCESS") == 2


def test_promtool_fails_for_a_wrong_expectation(promtool: str, tmp_path: Path) -> None:
    """This shows that promtool runs the cases and does not skip them. One short case is enough for that."""
    shutil.copy(PROMETHEUS / "alerts.yml", tmp_path)
    document = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text(encoding="utf-8"))
    [case] = [case for case in document["tests"] if case["name"] == "an instance that cannot be scraped is down"]
    case["alert_rule_test"][0]["exp_alerts"][0]["exp_labels"]["severity"] = "none"
    (tmp_path / "cases.yml").write_text(yaml.safe_dump({**document, "tests": [case]}), encoding="utf-8")
    done = subprocess.run([promtool, "test", "rules", "cases.yml"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert 'severity="none"' in done.stdout + done.stderr
