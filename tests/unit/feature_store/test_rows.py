"""Rows of evidence: what is written for which column, and the reason where a row is bad."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evidence.embedding import EMBEDDING_VERSION
from feature_store.codec import MAX_ENTRIES, MAX_TEXT_LENGTH
from feature_store.errors import RowError
from feature_store.rows import RowOptions, photo_write, user_write, vector_bytes
from feature_store.vectors import decode_vectors

OPTIONS = RowOptions(now_ms=1000)
MATRIX = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], np.float32)


def test_a_row_refreshes_only_the_fields_of_its_columns() -> None:
    write = photo_write({"photo_id": "p", "anchors": ["a"], "updated_at": 7}, OPTIONS)
    assert write.key == "onebar:1:photo:p"
    assert write.fields == {"anchors": b'["a"]', "anchors_at": b"7"}


def test_null_empties_a_field() -> None:
    row = {"photo_id": "p", "summary": None, "anchors": None, "category": None, "embedding": None}
    fields = photo_write(row, OPTIONS).fields
    values = {name: value for name, value in fields.items() if not name.endswith("_at")}
    assert values == {"summary": b"", "anchors": b"[]", "category": b"", "embedding": b""}


def test_the_text_fields_are_one() -> None:
    fields = photo_write({"photo_id": "p", "title": "t"}, OPTIONS).fields
    assert json.loads(fields["text"]) == {"caption": None, "photo_title": None, "title": "t", "item_title": None}
    assert fields["text_at"] == b"1000"


def test_an_id_may_be_a_number() -> None:
    assert photo_write({"photo_id": 42, "summary": ""}, OPTIONS).key == "onebar:1:photo:42"


@pytest.mark.parametrize("as_base64", [False, True])
def test_an_embedding_is_bare_fp16_in_a_row(as_base64: bool) -> None:
    value: Any = vector_bytes(MATRIX[:1])
    if as_base64:
        value = base64.b64encode(value).decode()
    row = {"photo_id": "p", "embedding": value, "embedding_version": EMBEDDING_VERSION}
    vectors = decode_vectors(photo_write(row, OPTIONS).fields["embedding"])
    np.testing.assert_array_equal(vectors.matrix, MATRIX[:1])
    assert vectors.version == EMBEDDING_VERSION


def test_blank_queries_go_with_their_embeddings() -> None:
    row = {
        "user_id": "u",
        "queries": ["a", " ", "b"],
        "embeddings": vector_bytes(MATRIX),
        "embedding_version": "v",
    }
    fields = user_write(row, OPTIONS).fields
    assert fields["queries"] == b'["a","b"]'
    np.testing.assert_array_equal(decode_vectors(fields["embeddings"]).matrix, MATRIX[[0, 2]])


def test_new_queries_never_meet_old_embeddings() -> None:
    assert user_write({"user_id": "u", "queries": ["a"]}, OPTIONS).fields["embeddings"] == b""


def test_what_is_too_long_is_cut() -> None:
    row = {"photo_id": "p", "summary": "x" * 9999, "histories": ["q"] * 500}
    fields = photo_write(row, OPTIONS).fields
    assert len(fields["summary"]) == MAX_TEXT_LENGTH
    assert len(json.loads(fields["histories"])) == MAX_ENTRIES


def test_times_may_come_as_whole_floats() -> None:
    assert photo_write({"photo_id": "p", "summary": "", "updated_at": 5.0}, OPTIONS).fields["summary_at"] == b"5"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({}, "photo_id is missing"),
        ({"photo_id": ""}, "photo_id: an id must not be empty"),
        ({"photo_id": True}, "photo_id is not a string"),
        ({"photo_id": "p"}, "nothing but a photo_id"),
        ({"photo_id": "p", "caption": 3}, "caption is not a string"),
        ({"photo_id": "p", "caption": "\ud800"}, "text: it holds a lone surrogate"),
        ({"photo_id": "p", "anchors": "a, b"}, "anchors is not a list of strings"),
        ({"photo_id": "p", "anchors": ["a", None]}, "anchors holds something that is not a string"),
        ({"photo_id": "p", "summary": "", "updated_at": "2026"}, "updated_at is not a whole number"),
        ({"photo_id": "p", "summary": "", "updated_at": float("nan")}, "updated_at is not a whole number"),
        ({"photo_id": "p", "summary": "", "updated_at": float("inf")}, "updated_at is n"),
        ({"photo_id": "p", "summary": "", "updated_at": -1}, "updated_at is no time"),
        ({"photo_id": "p", "embedding": "?"}, "embedding is not base64"),
        ({"photo_id": "p", "embedding": [1.0]}, "embedding is neither bytes nor base64"),
        ({"photo_id": "p", "embedding": b"abc", "embedding_version": "v"}, "is not 1 row"),
        ({"photo_id": "p", "embedding": b"ab"}, "embedding_version is missing"),
        ({"photo_id": "p", "embedding": b"\x00\x7c", "embedding_version": "v"}, "not finite"),
    ],
)
def test_bad_rows_of_photos_say_why(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(RowError, match=reason.replace("(", r"\(")):
        photo_write(row, OPTIONS)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"queries": []}, "user_id is missing"),
        ({"user_id": "u"}, "queries is missing"),
        ({"user_id": "u", "queries": "a"}, "queries is not a list"),
        ({"user_id": "u", "queries": ["a", "b"], "embeddings": b"12345", "embedding_version": "v"}, "is not 2 row"),
        ({"user_id": "u", "queries": [], "embeddings": b"12", "embedding_version": "v"}, "is not 0 row"),
    ],
)
def test_bad_rows_of_users_say_why(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(RowError, match=reason):
        user_write(row, OPTIONS)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
columns = ["photo_id", "user_id", "caption", "summary", "anchors", "queries", "embedding", "embeddings", "updated_at"]


@settings(suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault of the rows
@given(st.dictionaries(st.sampled_from([*columns, "embedding_version"]), json_values))
def test_no_row_raises_anything_but_row_error(row: dict[str, Any]) -> None:
    for to_write in (photo_write, user_write):
        with suppress(RowError):
            to_write(row, OPTIONS)
