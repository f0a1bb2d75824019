"""The teacher's source: what is inserted where, and what gives way."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from tokenizers import Tokenizer

from evidence.render import RenderBudgets, Renderer, split_on
from evidence.schema import Evidence
from training.augmentation import Alphabet
from training.noising import split_segments
from training.piopd.posterior import posterior_source
from training.policy_config import Construction, TeacherConfig

LONGEST = 128
EVIDENCE = Evidence(
    "unboxing my uladika", "the video shows a power bank", ("best power bank", "power bank under 40"),
    ("uladika power bank price",), (),
)  # fmt: skip
QUERY = "fenago camping chair"


@pytest.fixture
def alphabet(tokenizer: Tokenizer) -> Alphabet:
    return Alphabet.of(tokenizer)


@pytest.fixture
def source(tokenizer: Tokenizer) -> list[int]:
    return Renderer(tokenizer, RenderBudgets()).render(EVIDENCE).token_ids


def ids_of(tokenizer: Tokenizer, query: str) -> list[int]:
    return list(tokenizer.encode(query, add_special_tokens=False).ids)


def made(source, queries, construction, alphabet, seed=0, longest=LONGEST, **teacher):  # type: ignore[no-untyped-def]
    settings = TeacherConfig(construction=construction, **teacher)
    ids = posterior_source(source, queries, settings, alphabet, longest, np.random.default_rng(seed))
    return ids, split_segments(ids, alphabet.special["sep"])


@pytest.mark.parametrize("construction", [c for c in get_args(Construction) if c != "append"])
def test_the_schema_of_the_source_stays(source, alphabet, tokenizer, construction) -> None:  # type: ignore[no-untyped-def]
    for seed in range(20):
        ids, segments = made(source, [ids_of(tokenizer, QUERY)], construction, alphabet, seed)
        assert len(segments) == 5
        assert (ids[0], ids[-1]) == (alphabet.special["bos"], alphabet.special["eos"])


def test_append_makes_a_segment_of_its_own(source, alphabet, tokenizer) -> None:  # type: ignore[no-untyped-def]
    queries = [ids_of(tokenizer, QUERY), ids_of(tokenizer, "best power bank")]
    _, segments = made(source, queries, "append", alphabet)
    assert segments[:5] == split_segments(source, alphabet.special["sep"])
    assert split_on(segments[5], alphabet.between) == queries


def test_histories_get_the_query_as_an_entry(source, alphabet, tokenizer) -> None:  # type: ignore[no-untyped-def]
    query = ids_of(tokenizer, QUERY)
    places = set()
    for seed in range(20):
        _, segments = made(source, [query], "histories", alphabet, seed)
        entries = split_on(segments[3], alphabet.between)
        assert query in entries
        assert len(entries) == 2
        places.add(entries.index(query))
    assert places == {0, 1}


def test_random_reaches_every_field_that_is_not_empty_and_no_other(source, alphabet, tokenizer) -> None:  # type: ignore[no-untyped-def]
    before = split_segments(source, alphabet.special["sep"])
    query = ids_of(tokenizer, QUERY)
    changed = set()
    for seed in range(60):
        _, segments = made(source, [query], "random", alphabet, seed)
        (where,) = [n for n in range(5) if segments[n] != before[n]]
        assert len(segments[where]) - len(before[where]) in (len(query), len(query) + 1)
        changed.add(where)
    assert changed == {0, 1, 2, 3}  # the viewer's queries are empty


def test_a_query_in_a_text_does_not_split_a_word(alphabet, tokenizer) -> None:  # type: ignore[no-untyped-def]
    words = ids_of(tokenizer, "unboxing my uladika")
    source = Renderer(tokenizer, RenderBudgets()).render(Evidence("unboxing my uladika", "", (), (), ())).token_ids
    query = ids_of(tokenizer, QUERY)
    starts = {sum(map(len, alphabet.words(words)[:n])) for n in range(len(alphabet.words(words)) + 1)}
    for seed in range(20):
        _, segments = made(source, [query], "random", alphabet, seed)
        text = segments[0]
        assert any(text[:n] + text[n + len(query) :] == words and text[n : n + len(query)] == query for n in starts)


def test_a_video_without_evidence_gets_the_query_as_a_history(alphabet, tokenizer) -> None:  # type: ignore[no-untyped-def]
    empty = Renderer(tokenizer, RenderBudgets()).render(Evidence("", "", (), (), ())).token_ids
    query = ids_of(tokenizer, QUERY)
    _, segments = made(empty, [query], "random", alphabet)
    assert segments == [[], [], [], query, []]


def test_masked_words_are_hidden_and_the_rest_is_there(source, alphabet, tokenizer) -> None:  # type: ignore[no-untyped-def]
    query = ids_of(tokenizer, QUERY)
    ids, _ = made(source, [query], "masked_random", alphabet, mask_ratio=1.0)
    assert ids.count(alphabet.special["mask"]) == len(alphabet.words(query))
    same, _ = made(source, [query], "masked_random", alphabet, mask_ratio=0.0)
    assert alphabet.special["mask"] not in same


def test_the_evidence_gives_way_when_the_source_would_be_too_long(source, alphabet, tokenizer) -> None:  # type: ignore[no-untyped-def]
    query = ids_of(tokenizer, QUERY)
    ids, segments = made(source, [query], "append", alphabet, longest=len(source))
    before = split_segments(source, alphabet.special["sep"])
    assert len(ids) <= len(source)
    assert segments[5] == query
    assert segments[3] == []
    assert segments[0] == before[0]
    for longest in range(8, len(source) + 20):
        for construction in get_args(Construction):
            ids, _ = made(source, [query] * 3, construction, alphabet, longest=longest)
            assert len(ids) <= longest
