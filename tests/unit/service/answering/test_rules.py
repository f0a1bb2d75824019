"""The rules file: valid content, and the messages for faults."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import service.answering
from service.answering.rules import load_rules
from service.cli import rules as rules_command
from service.errors import RulesError


def problems(tmp_path: Path, text: str | bytes) -> list[str]:
    file = tmp_path / "rules.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(RulesError) as caught:
        load_rules(file)
    return list(caught.value.problems)


def test_the_example_file_is_valid_and_has_every_rule():
    rules = load_rules(Path(service.answering.__file__).with_name("rules.example.yaml"))
    assert rules.length is not None
    assert rules.length.max_words == 10
    assert rules.blocked_categories == ["weapons", "adult"]
    assert [pin.query for pin in rules.pinned_queries] == ["winter sale", "cfmoto 675nk price"]
    assert rules.recently_shown is not None
    assert rules.version is not None
    assert len(rules.version) == 12


def test_an_empty_file_has_no_rules(tmp_path):
    (tmp_path / "rules.yaml").write_text("# nothing yet\n")
    assert load_rules(tmp_path / "rules.yaml").length is None


def test_every_fault_is_reported_with_its_line_and_field(tmp_path):
    text = """\
length:
  min_characters: 0
  max_wrds: 4
blocked_categories:
  - weapons
  - 17
pinned_queries:
  - query: sale
recently_shown: {window_seconds: soon}
"""
    assert problems(tmp_path, text) == [
        ":2: length.min_characters: it must be 1 or more",
        ":3: length.max_wrds: there is no such rule; rules.example.yaml shows all rules",
        ':6: blocked_categories[1]: it must be text; put it in quotes: "17"',
        ":8: pinned_queries[0]: it is pinned nowhere; add photo_ids or categories",
        ":9: recently_shown.window_seconds: input should be a valid integer",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("length: {min_words: 5, max_words: 2}", ":1: length: min_words is over max_words"),
        ("blocked_queries: ['!!']", "has neither a letter nor a digit"),
        ("length:\n  max_words: 3\nlength:\n  max_words: 4\n", ":3: length: it is given twice; merge the two"),
        ("length: [\n", ":2: it is not valid YAML"),
        ("- just\n- a list\n", ":1: the file: input should be"),
        ("version: abc\n", ":1: version: the service sets it"),
        (b"length: \xff\xfe", "it is not valid YAML in UTF-8"),
        ("blocked_queries:\n- 2024-02-30\n", "put it in quotes"),
        ("blocked_queries: [!!int x]", "put it in quotes"),
        ("blocked_queries: [!!bool x]", "put it in quotes"),
        ("blocked_queries: [!!timestamp x]", "put it in quotes"),
        ("minimum_score: " + "9" * 5000, "put it in quotes"),
        ("a: &a [*a]", ":1: an alias inside an anchored value"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nblocked_queries: *b\n", ":2: an alias inside an anchored value"),
        ("[" * 100_000, ":1: it is nested too deeply"),
        ("{a: " * 100_000, ":1: it is nested too deeply"),
        ("!!python/object/apply:os.system ['true']", "it is not valid YAML"),
    ],
)
def test_a_fault_is_reported_with_its_correction(tmp_path, text, problem):
    assert any(problem in told for told in problems(tmp_path, text)), problems(tmp_path, text)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(RulesError, match=r"nowhere.yaml: it cannot be read \(No such file"):
        load_rules(tmp_path / "nowhere.yaml")


def test_the_command_accepts_a_valid_file_and_prints_every_fault_of_another(tmp_path):
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("blocked_categories: [weapons]\n")
    bad.write_text("blocked_categories: weapons\nx: 1\n")
    runner = CliRunner()
    accepted = runner.invoke(rules_command, ["check", str(good)])
    assert (accepted.exit_code, "1 blocked categories" in accepted.output) == (0, True)
    refused = runner.invoke(rules_command, ["check", str(bad)])
    assert refused.exit_code == 1
    assert "bad.yaml:1: blocked_categories" in refused.output
    assert "bad.yaml:2: x: there is no such rule" in refused.output
