"""The tree of settings."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from service.environment import load_settings, unknown_variables
from service.errors import ConfigurationError


def test_settings_come_from_the_environment_and_overrides_take_precedence(monkeypatch):
    monkeypatch.setenv("ONEBAR_PORT", "9000")
    monkeypatch.setenv("ONEBAR_STORE__URL", "redis://r:6379/0")
    monkeypatch.setenv("ONEBAR_EVENTS__SINK", "redis_stream")
    monkeypatch.setenv("ONEBAR_RESULT_CACHE__MAX_BYTES", "0")
    monkeypatch.setenv("ONEBAR_QUERY_SET", "queries.txt")
    monkeypatch.setenv("ONEBAR_DECODING__NO_REPEAT_NGRAM_SIZE", "2")
    settings = load_settings(port=9001, host=None, bundle=Path("b"))
    assert (settings.port, settings.host, settings.bundle) == (9001, "127.0.0.1", Path("b"))
    assert settings.store.url == "redis://r:6379/0"
    assert settings.store.timeout_ms == 5.0
    assert settings.events.sink == "redis_stream"
    assert (settings.result_cache.max_bytes, settings.query_set) == (0, Path("queries.txt"))
    assert (settings.decoding.no_repeat_ngram_size, settings.decoding.min_new_tokens) == (2, None)


def test_an_override_in_a_branch_keeps_its_other_variables(monkeypatch):
    monkeypatch.setenv("ONEBAR_STORE__TIMEOUT_MS", "3")
    settings = load_settings(store={"url": "memory://"})
    assert (settings.store.url, settings.store.timeout_ms) == ("memory://", 3.0)


def test_settings_and_their_branches_are_frozen():
    settings = load_settings()
    with pytest.raises(ValidationError):
        settings.port = 1
    with pytest.raises(ValidationError):
        settings.store.url = "redis://elsewhere"


def test_every_invalid_variable_is_named(monkeypatch):
    monkeypatch.setenv("ONEBAR_PORT", "eighty")
    monkeypatch.setenv("ONEBAR_DEFAULT_DEADLINE_MS", "0")
    monkeypatch.setenv("ONEBAR_EVENTS__SINK", "kafka")
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    for name in ("ONEBAR_PORT", "ONEBAR_DEFAULT_DEADLINE_MS", "ONEBAR_EVENTS__SINK"):
        assert name in str(caught.value)


def test_variables_outside_of_the_groups_that_are_no_setting_are_found_with_the_nearest_one():
    given = {"ONEBAR_PORT": "1", "onebar_host": "h", "ONEBAR_EVENTS__SINK": "none", "PATH": "/bin"}
    assert unknown_variables(given) == {}
    wrong = {"ONEBAR_LOG_LEVL": "debug", "ONEBAR_EVENT__SINK": "none", "ONEBAR_XYZZY": "1"}
    assert unknown_variables(given | wrong) == {
        "ONEBAR_EVENT__SINK": "ONEBAR_EVENTS",
        "ONEBAR_LOG_LEVL": "ONEBAR_LOG_LEVEL",
        "ONEBAR_XYZZY": None,
    }


def test_a_group_that_is_not_json_is_one_sentence(monkeypatch):
    monkeypatch.setenv("ONEBAR_EVENTS", "jsonl")
    with pytest.raises(ConfigurationError, match=r"not JSON.*events"):
        load_settings()
