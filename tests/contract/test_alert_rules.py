"""promtool accepts the configuration of Prometheus, and each alert fires and stays silent as its tests say."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_the_alerts_fire_as_their_tests_say(promtool: str) -> None:
    assert "SUCCESS" in run(promtool, "test", "rules", "alerts_test.yml")


def test_a_wrong_expectation_fails(promtool: str, tmp_path: Path) -> None:
    """Guards the test above: promtool must run the cases, and not skip them."""
    shutil.copy(PROMETHEUS / "alerts.yml", tmp_path)
    cases = (PROMETHEUS / "alerts_test.yml").read_text(encoding="utf-8")
    (tmp_path / "alerts_test.yml").write_text(cases.replace("severity: page", "severity: none"), encoding="utf-8")
    done = subprocess.run(
        [promtool, "test", "rules", "alerts_test.yml"], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode != 0
