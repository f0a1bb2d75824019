"""Records out of raw values: what is readable is used, what is not is named."""

from __future__ import annotations

import numpy as np
import pytest

from evidence.embedding import EMBEDDING_VERSION
from evidence.schema import RawText
from feature_store.keys import USER_FIELDS
from feature_store.records import DEGRADATIONS, PHOTO_HASH_FIELDS, decode_photo, decode_shown, decode_user
from feature_store.vectors import encode_vectors

VECTOR = np.array([[0.5, -1.0, 0.25]], np.float32)


def photo_values(**fields: bytes) -> list[bytes | None]:
    return [fields.get(name) for name in PHOTO_HASH_FIELDS]


def user_values(**fields: bytes) -> list[bytes | None]:
    return [fields.get(name) for name in USER_FIELDS]


def test_a_photo_of_which_nothing_is_stored_is_none() -> None:
    assert decode_photo(photo_values(), EMBEDDING_VERSION) == (None, ())


def test_a_photo_with_every_field() -> None:
    photo, degraded = decode_photo(
        photo_values(
            text=b'{"caption":"c","title":"t"}',
            summary="概要".encode(),
            anchors=b'["a","b"]',
            histories=b'["h"]',
            category=b"phones",
            embedding=encode_vectors(VECTOR, EMBEDDING_VERSION),
            text_at=b"5",
            embedding_at=b"7",
        ),
        EMBEDDING_VERSION,
    )
    assert photo is not None
    assert degraded == ()
    assert photo.raw == RawText(caption="c", title="t")
    assert (photo.summary, photo.anchors, photo.histories, photo.category) == ("概要", ("a", "b"), ("h",), "phones")
    np.testing.assert_array_equal(photo.embedding, VECTOR[0])
    assert photo.embedding_version == EMBEDDING_VERSION
    assert dict(photo.updated_at) == {"text": 5, "embedding": 7}


@pytest.mark.parametrize("field", ["text", "anchors", "histories", "summary", "category", "embedding", "text_at"])
def test_one_unreadable_field_costs_that_field_only(field: str) -> None:
    good = {"text": b'{"caption":"c"}', "summary": b"s", "anchors": b'["a"]', "histories": b'["h"]', "category": b"k"}
    photo, degraded = decode_photo(photo_values(**(good | {field: b"\xff\xfe"})), EMBEDDING_VERSION)
    assert photo is not None
    assert degraded == ("photo_field_unreadable",)
    read = {
        "text": photo.raw.caption == "c",
        "summary": photo.summary == "s",
        "anchors": photo.anchors == ("a",),
        "histories": photo.histories == ("h",),
        "category": photo.category == "k",
    }
    assert {name for name, is_read in read.items() if not is_read} == {field} & set(read)


def test_an_embedding_of_another_version_is_withheld_and_named() -> None:
    photo, degraded = decode_photo(
        photo_values(text=b"{}", embedding=encode_vectors(VECTOR, "older-2")), EMBEDDING_VERSION
    )
    assert photo is not None
    assert photo.embedding is None
    assert photo.embedding_version == "older-2"
    assert degraded == ("photo_embedding_version",)


def test_a_photo_has_one_vector_only() -> None:
    stored = encode_vectors(np.ones((2, 3), np.float32), EMBEDDING_VERSION)
    photo, degraded = decode_photo(photo_values(embedding=stored), EMBEDDING_VERSION)
    assert photo is not None
    assert photo.embedding is None
    assert degraded == ("photo_field_unreadable",)


def test_a_user_with_every_field() -> None:
    user, degraded = decode_user(
        user_values(queries=b'["q"]', embeddings=encode_vectors(VECTOR, EMBEDDING_VERSION, "int8"), updated_at=b"9"),
        EMBEDDING_VERSION,
    )
    assert user is not None
    assert degraded == ()
    assert user.queries == ("q",)
    np.testing.assert_allclose(user.embeddings, VECTOR, atol=1 / 254)
    assert user.updated_at == 9


def test_a_user_without_embeddings_is_no_degradation() -> None:
    user, degraded = decode_user(user_values(queries=b'["q"]', embeddings=b""), EMBEDDING_VERSION)
    assert user is not None
    assert (user.queries, user.embeddings, degraded) == (("q",), None, ())


def test_embeddings_that_do_not_match_the_queries_are_withheld() -> None:
    stored = encode_vectors(VECTOR, EMBEDDING_VERSION)
    user, degraded = decode_user(user_values(queries=b'["q","r"]', embeddings=stored), EMBEDDING_VERSION)
    assert user is not None
    assert (user.queries, user.embeddings, degraded) == (("q", "r"), None, ("user_unreadable",))


def test_queries_outlive_embeddings_of_another_version() -> None:
    stored = encode_vectors(VECTOR, "older-2")
    user, degraded = decode_user(user_values(queries=b'["q"]', embeddings=stored), EMBEDDING_VERSION)
    assert user is not None
    assert (user.queries, user.embeddings, degraded) == (("q",), None, ("user_embedding_version",))


def test_shown_queries_that_are_no_text_are_left_out() -> None:
    shown, degraded = decode_shown([(b"new", 20.0), (b"\xff", 15.0), (b"old", 10.0), (b"odd", float("inf"))])
    assert shown == (("new", 20), ("old", 10))
    assert degraded == ("shown_unreadable",)


def test_every_degradation_is_in_the_bounded_list() -> None:
    assert len(set(DEGRADATIONS)) == len(DEGRADATIONS)
