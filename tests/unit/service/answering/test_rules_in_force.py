"""The rules in force follow their file; a file that becomes invalid changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from evidence.safety import ProhibitedTerms
from service.answering.policy import Candidate, Policy, Trigger
from service.answering.rules import Rules, load_rules
from service.answering.rules_in_force import RulesInForce


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "rules.yaml"
    file.write_text("blocked_queries: [red boots]\n")
    return file


def in_force(path: Path) -> RulesInForce:
    rules, terms = load_rules(path), ProhibitedTerms([])
    return RulesInForce(path, rules, Policy(rules, terms, 0.5), terms, 0.5)


def shows(rules: RulesInForce, query: str) -> bool:
    return bool(rules.policy.decide([Candidate(query, -1.0)], 0.0, Trigger("p1"), 1).shown)


async def test_a_changed_file_comes_into_force(path: Path) -> None:
    rules = in_force(path)
    seen: list[str] = []
    rules.on_change = seen.append
    assert not shows(rules, "red boots")
    path.write_text("blocked_queries: [blue boots]\n")
    await rules.follow()
    assert (shows(rules, "red boots"), shows(rules, "blue boots")) == (True, False)
    assert rules.rules.version == rules.policy.version == load_rules(path).version
    assert seen == [rules.rules.version]


async def test_a_change_between_the_loading_and_the_first_look_is_seen(path: Path) -> None:
    rules, terms = load_rules(path), ProhibitedTerms([])
    path.write_text("{}\n")
    followed = RulesInForce(path, rules, Policy(rules, terms, 0.5), terms, 0.5)
    await followed.follow()
    assert shows(followed, "red boots")


async def test_a_file_that_did_not_change_is_not_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = in_force(path)
    await rules.follow()
    monkeypatch.setattr("service.answering.rules_in_force.load_rules", None)
    await rules.follow()
    assert not shows(rules, "red boots")


async def test_an_invalid_or_absent_file_leaves_the_rules_and_says_why(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rules = in_force(path)
    path.write_text("blocked_queries: [5]\n")
    await rules.follow()
    assert not shows(rules, "red boots")
    assert rules.fault is not None
    assert "it must be text" in rules.fault
    assert str(path.parent) not in rules.fault
    assert "the changed rules file is not used" in caplog.text
    path.unlink()
    await rules.follow()
    assert not shows(rules, "red boots")
    path.write_text("{}\n")
    await rules.follow()
    assert shows(rules, "red boots")
    assert rules.fault is None


async def test_a_file_that_becomes_readable_again_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = in_force(path)
    path.write_text("{}\n")
    with monkeypatch.context() as patched:  # as `chmod` refuses it to a user that is not root
        patched.setattr(Path, "read_bytes", refused)
        await rules.follow()
    assert rules.fault is not None
    path.chmod(0o640)
    await rules.follow()
    assert (rules.fault, shows(rules, "red boots")) == (None, True)


def refused(path: Path) -> bytes:
    raise PermissionError(13, "Permission denied", str(path))


async def test_without_a_file_nothing_is_followed() -> None:
    terms, none = ProhibitedTerms([]), Rules()
    rules = RulesInForce(None, none, Policy(none, terms, 0.5), terms, 0.5)
    await rules.follow()
    assert rules.rules is none
