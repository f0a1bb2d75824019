"""Passwords in URLs reach the commands, and neither their arguments nor a file nor a message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from refresh.alerts import send
from refresh.command import refresh as command
from refresh.config import AlertSection
from tests.unit.refresh.days import calls, run, settings, steps

pytestmark = pytest.mark.usefixtures("shop")


@pytest.mark.parametrize(
    "change",
    [{}, {"events": {"sink": "redis://u:secret-1@events:6379/0"}, "publish": {"store": "redis://:secret-2@store?a=b"}}],
)
def test_passwords_are_in_no_file_and_in_no_arguments(tmp_path: Path, change: dict[str, Any]) -> None:
    run(settings(tmp_path, train={}, nice=0, **change))
    made = {call["step"]: call for call in calls(tmp_path)}
    assert "secret-1@events:6379/0" in made["events"]["events"]
    assert "secret-2@store" in made["publish"]["store"]
    assert not any("secret-" in part for call in made.values() for part in call["argv"])
    for path in (tmp_path / "state").rglob("*"):
        assert path.is_dir() or "secret-" not in path.read_text(), path
    assert (
        "ONEBAR_EVENTS__URL=redis://***@events:6379/0 onebar events export"
        in (tmp_path / "state/days/day-00012/events.log").read_text()
    )


def test_a_dry_run_shows_no_password(tmp_path: Path) -> None:
    settings(tmp_path, publish={"store": "redis://:secret-2@store:6379/0"})
    shown = CliRunner().invoke(command, ["--config", str(tmp_path / "refresh.yaml"), "--day", "12", "--dry-run"]).output
    assert "ONEBAR_STORE__URL=redis://***@store:6379/0 onebar evidence publish" in shown
    assert "secret-" not in shown


def test_a_wrong_webhook_is_not_repeated(tmp_path: Path) -> None:
    for url in ("chat.internal/hook/secret-3", "http://chat.internal/hook/secret-3 x"):
        [fault] = send(AlertSection(webhook=url), {"day": 12})
        assert "the alert webhook failed" in fault
        assert "secret-3" not in fault


def test_arguments_of_an_alert_command_are_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refresh.alerts._HOOK_SECONDS", 0.2)
    failed = send(AlertSection(command=["sh", "-c", "exit 3", "secret-4"]), {"day": 12})
    assert failed == ["the alert command failed with status 3"]
    late = send(AlertSection(command=["sh", "-c", "sleep 5", "secret-4"]), {"day": 12})
    assert late == ["the alert command did not end in 0.2 seconds"]


def test_another_sink_is_exported_anew(tmp_path: Path) -> None:
    (tmp_path / "verdict").write_text("refuse")
    run(settings(tmp_path, train={}, nice=0))
    run(settings(tmp_path, train={}, nice=0, events={"sink": "redis://other:6379/0"}))
    assert steps(tmp_path).count("events") == 2
