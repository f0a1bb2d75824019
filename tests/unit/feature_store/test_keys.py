"""Keys: readable, one to one with ids, and with no say in a cluster's slots."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from feature_store.errors import FeatureStoreError, InvalidIdError
from feature_store.keys import MAX_ID_LENGTH, escape_id, photo_key, shown_key, user_key

valid_ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=MAX_ID_LENGTH)


def test_keys_carry_the_version_of_the_format() -> None:
    assert photo_key("p1") == "onebar:1:photo:p1"
    assert user_key("u1") == "onebar:1:user:u1"
    assert shown_key("u1") == "onebar:1:shown:u1"


def test_only_braces_and_the_percent_sign_are_escaped() -> None:
    assert escape_id("a{b}c%d") == "a%7Bb%7Dc%25d"
    assert escape_id("视频 1:/?#") == "视频 1:/?#"


@given(valid_ids, valid_ids)
def test_two_ids_never_share_a_key(one: str, other: str) -> None:
    assert (photo_key(one) == photo_key(other)) == (one == other)


def test_an_id_cannot_choose_its_slot() -> None:
    slots = {key_slot(photo_key(f"{{same}}{n}").encode()) for n in range(100)}
    assert len(slots) > 90


@given(valid_ids)
def test_any_valid_unicode_makes_a_key_without_braces(identifier: str) -> None:
    key = photo_key(identifier)
    assert "{" not in key
    assert "}" not in key
    key.encode("utf-8")


@pytest.mark.parametrize(
    ("identifier", "reason"),
    [("", "empty"), ("x" * (MAX_ID_LENGTH + 1), "at most 128"), ("a\ud800", "lone surrogate")],
)
def test_ids_that_cannot_be_keys_are_refused(identifier: str, reason: str) -> None:
    with pytest.raises(InvalidIdError, match=reason) as caught:
        photo_key(identifier)
    assert isinstance(caught.value, FeatureStoreError)
    assert isinstance(caught.value, ValueError)


def test_the_longest_id_is_counted_before_escaping() -> None:
    assert photo_key("{" * MAX_ID_LENGTH).endswith("%7B" * MAX_ID_LENGTH)
