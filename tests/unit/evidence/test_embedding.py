"""The built-in similarity: alike wording is near, other wording is far, the same text is always the same vector."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence import embedding
from evidence.cleaning import MAX_CLEAN_CHARACTERS
from evidence.embedding import DIMENSION, MAX_EMBEDDED_CHARACTERS, embed, filter_personal, trigger_text


@given(texts=st.lists(st.text(), max_size=5))
def test_rows_are_unit_vectors_or_zero(texts: list[str]) -> None:
    vectors = embed(texts)
    assert vectors.shape == (len(texts), DIMENSION)
    norms = np.linalg.norm(vectors, axis=1)
    assert np.all(np.isclose(norms, 1, atol=1e-5) | (norms == 0))


def test_a_text_is_embedded_alike_alone_and_among_others() -> None:
    together = embed(["cordless drill 20V", "red dress", "红色 连衣裙"])
    alone = embed(["红色 连衣裙"])
    np.testing.assert_array_equal(together[2], alone[0])


def test_many_texts_are_embedded_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["cordless drill 20V", "", "red dress", "红色 连衣裙", "drill"]
    whole = embed(texts)
    monkeypatch.setattr(embedding, "_TEXTS_AT_ONCE", 2)
    np.testing.assert_array_equal(embed(texts), whole)
    assert embed([]).shape == (0, DIMENSION)


def test_only_the_beginning_of_a_text_is_embedded() -> None:
    words = " ".join(f"word{number}" for number in range(2_000))
    np.testing.assert_array_equal(embed([words]), embed([words[:MAX_EMBEDDED_CHARACTERS]]))
    assert len(trigger_text("t" * MAX_CLEAN_CHARACTERS, "m" * MAX_CLEAN_CHARACTERS)) <= MAX_EMBEDDED_CHARACTERS


@pytest.mark.parametrize(
    ("trigger", "near", "far"),
    [
        ("acme cordless drill 20V with two batteries", "acme drill battery", "red summer dress"),
        ("夏季新款红色连衣裙", "红色连衣裙", "无线电钻"),
        ("cordless drills for home", "drill", "how to price a house"),
    ],
)
def test_a_query_on_the_trigger_is_nearer_than_one_that_is_not(trigger: str, near: str, far: str) -> None:
    t, n, f = embed([trigger, near, far])
    assert t @ n > 0.2 > t @ f


def test_personal_queries_are_those_over_the_threshold_most_similar_first() -> None:
    trigger = embed([trigger_text("cordless drill 20V", "battery and charger")])[0]
    queries = ["red dress", "drill battery", "cordless drill 20V", "dog food"]
    assert filter_personal(trigger, queries) == ("cordless drill 20V", "drill battery")
    assert filter_personal(trigger, queries, limit=1) == ("cordless drill 20V",)
    assert filter_personal(trigger, queries, threshold=1.1) == ()
    assert filter_personal(trigger, []) == ()


def test_stored_vectors_give_the_same_choice_as_fresh_ones() -> None:
    trigger = embed(["cordless drill"])[0]
    queries = ["cordless drill price", "red dress"]
    assert filter_personal(trigger, queries, embed(queries)) == filter_personal(trigger, queries)
