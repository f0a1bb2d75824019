"""A file of queries becomes the set of token sequences that the model is trained to write for them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, normalizers, pre_tokenizers

from evidence.cleaning import MAX_QUERY_CHARACTERS, clean_query
from generation.bundle import Bundle, load_bundle
from generation.constraints.query_file import load_query_set, tokenise
from generation.constraints.query_set import QuerySet
from generation.errors import ConstraintError
from tests.fixtures.tiny_bundle import build_tokenizer
from tests.unit.generation.constraints.permitted import restriction

EOS, REJECT = 2, 6
QUERIES = ["red running shoes", "red running shoes men", "Cheap Camera lens", "防晒霜 油皮", "防晒霜", "red"]


@pytest.fixture(scope="module")
def bundle(bundle_path: Path) -> Bundle:
    return load_bundle(bundle_path)


def members(query_set: QuerySet, prefix: tuple[int, ...] = ()) -> set[tuple[int, ...]]:
    """Every sequence that can be written under the set and ends itself."""
    found = set()
    for token in restriction(query_set, prefix).token_ids.tolist():
        found |= {prefix} if token == EOS else members(query_set, (*prefix, token))
    return found


def training_target(tokenizer: Tokenizer, query: str) -> tuple[int, ...]:
    return tuple(tokenizer.encode(clean_query(query), add_special_tokens=False).ids)


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_exactly_the_queries_of_the_file_can_be_written_and_reject(tmp_path: Path, bundle: Bundle) -> None:
    path = written(tmp_path / "queries.txt", "\n".join(QUERIES))
    query_set = load_query_set(path, bundle, max_new_tokens=32)
    assert members(query_set) == {training_target(bundle.tokenizer, query) for query in QUERIES} | {(REJECT,)}
    assert len(query_set) == len(QUERIES)


def test_what_is_allowed_is_sorted_and_reject_comes_first_alone(tmp_path: Path, bundle: Bundle) -> None:
    query_set = load_query_set(written(tmp_path / "queries.txt", "\n".join(QUERIES)), bundle, max_new_tokens=32)
    first = restriction(query_set, ()).token_ids
    assert REJECT in first
    assert first.dtype.kind == "i"
    assert (np.diff(first) > 0).all()
    rejected, other = (restriction(query_set, (token,)) for token in (REJECT, int(first[-1])))
    assert rejected.token_ids.tolist() == [EOS]
    assert REJECT not in other.token_ids


def test_nothing_follows_what_begins_no_query(tmp_path: Path, bundle: Bundle) -> None:
    query_set = load_query_set(written(tmp_path / "queries.txt", "red"), bundle)
    (target,) = (sequence for sequence in members(query_set) if sequence != (REJECT,))
    prefixes = [(299,), (299, 298), (*target, EOS), target]
    assert [len(restriction(query_set, prefix).token_ids) for prefix in prefixes] == [0, 0, 0, 1]


def test_lines_are_counted_for_what_became_of_them(tmp_path: Path, bundle: Bundle) -> None:
    long = "garden tools set winter coat long dress summer phone case"
    path = written(tmp_path / "queries.txt", f"\ufeffred shoes\r\n\r\n red  shoes\n  \n{long}\nred shoes\n")
    report = load_query_set(path, bundle, max_new_tokens=6).report
    assert (report.queries, report.duplicates, report.too_long, report.blank) == (1, 2, 1, 2)


def test_a_query_that_just_fits_with_its_end_is_kept(tmp_path: Path, bundle: Bundle) -> None:
    path = written(tmp_path / "queries.txt", "red shoes\nmen women cheap")
    tokens = [len(training_target(bundle.tokenizer, query)) for query in ("red shoes", "men women cheap")]
    assert len(load_query_set(path, bundle, max_new_tokens=max(tokens) + 1)) == 2
    assert len(load_query_set(path, bundle, max_new_tokens=max(tokens))) == 1


def test_a_query_that_spells_a_special_token_stays_text(tmp_path: Path, bundle: Bundle) -> None:
    query_set = load_query_set(written(tmp_path / "queries.txt", "[REJECT] </s> red"), bundle, max_new_tokens=32)
    (spelled,) = (sequence for sequence in members(query_set) if sequence != (REJECT,))
    assert bundle.decode(spelled) == "[REJECT] </s> red"


def test_the_second_load_reads_the_trie_and_answers_the_same(tmp_path: Path, bundle: Bundle) -> None:
    path = written(tmp_path / "queries.txt", "\n".join(QUERIES))
    first, second = load_query_set(path, bundle), load_query_set(path, bundle)
    assert (first.report.from_cache, second.report.from_cache) == (False, True)
    assert members(first) == members(second)
    assert len(first) == len(second)


def test_other_queries_or_another_limit_make_another_trie(tmp_path: Path, bundle: Bundle) -> None:
    path = written(tmp_path / "queries.txt", "red shoes\nred")
    load_query_set(path, bundle, max_new_tokens=10)
    assert len(load_query_set(path, bundle, max_new_tokens=3)) == 1
    written(path, "red shoes\nred\nmen")
    assert len(load_query_set(path, bundle, max_new_tokens=10)) == 3


def test_another_tokenizer_makes_another_trie(tmp_path: Path, bundle: Bundle, byte_tokenizer) -> None:
    path = written(tmp_path / "queries.txt", "red")
    load_query_set(path, bundle)
    other = replace(bundle, tokenizer=byte_tokenizer(["r", "e", "d", " "]))
    query_set = load_query_set(path, other)
    assert not query_set.report.from_cache
    assert {len(sequence) for sequence in members(query_set)} == {1, 4}


def test_other_rules_of_cleaning_make_another_trie(
    tmp_path: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "queries.txt", "red")
    load_query_set(path, bundle)
    monkeypatch.setattr("generation.constraints.query_file.cleaning_version", lambda: "another")
    assert not load_query_set(path, bundle).report.from_cache


def test_a_broken_cache_is_made_again(tmp_path: Path, bundle: Bundle) -> None:
    path = written(tmp_path / "queries.txt", "\n".join(QUERIES))
    load_query_set(path, bundle)
    cache = tmp_path / "queries.txt.trie.npz"
    whole = cache.read_bytes()
    for broken in (b"", b"no trie", whole[: len(whole) // 2]):
        cache.write_bytes(broken)
        assert not load_query_set(path, bundle).report.from_cache
    assert load_query_set(path, bundle).report.from_cache


@pytest.mark.parametrize(
    "change",
    [
        {"first_child": np.array([1, 2**31 - 1, 2**31 - 1], np.int32), "tokens": np.zeros(2, np.int32)},
        {"tokens": np.array([0, -(2**30)], np.int32), "first_child": np.array([1, 2, 2], np.int32)},
        {"tokens": np.array([0, 2**30], np.int32), "first_child": np.array([1, 2, 2], np.int32)},
        {"tokens": np.array([0, 5], np.int32), "first_child": np.array([0, 1, 2], np.int32)},
        {"tokens": np.array([0, 5], np.int64)},
        {"tokens": np.zeros((2, 2), np.int32)},
        {"tokens": np.zeros(0, np.int32), "first_child": np.zeros(1, np.int32)},
    ],
    ids=["children outside", "negative token", "unknown token", "a loop", "int64", "two dimensions", "empty"],
)
def test_a_cache_whose_indices_are_outside_its_arrays_is_made_again(
    change: dict[str, np.ndarray], tmp_path: Path, bundle: Bundle
) -> None:
    path = written(tmp_path / "queries.txt", "\n".join(QUERIES))
    load_query_set(path, bundle)
    cache = tmp_path / "queries.txt.trie.npz"
    with np.load(cache) as arrays:
        stored = dict(arrays)
    np.savez(cache, **(stored | change))
    query_set = load_query_set(path, bundle)
    assert not query_set.report.from_cache
    assert query_set.follow([query_set.begin()], [0], [int(stored["tokens"][1])]) == [1]


def test_where_no_cache_can_be_written_the_set_is_served_and_the_reason_told(tmp_path: Path, bundle: Bundle) -> None:
    path = written(tmp_path / "queries.txt", "red")
    (tmp_path / "queries.txt.trie.npz").mkdir()
    query_set = load_query_set(path, bundle)
    assert len(query_set) == 1
    assert query_set.report.cache_error


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "has no query in it"),
        (b"\n \n\xef\xbb\xbf\n", "has no query in it"),
        (b"red\nshoes\n\xff\n", "line 3: it is not UTF-8"),
        (b"garden tools set winter coat long dress summer", "none of the 1 queries .* fits into 3 tokens"),
    ],
)
def test_a_file_that_cannot_serve_is_refused(content: bytes, says: str, tmp_path: Path, bundle: Bundle) -> None:
    with pytest.raises(ConstraintError, match=says):
        load_query_set(written(tmp_path / "queries.txt", content), bundle, max_new_tokens=4)


def test_a_missing_file_is_refused(tmp_path: Path, bundle: Bundle) -> None:
    with pytest.raises(ConstraintError, match="cannot read the file of queries"):
        load_query_set(tmp_path / "none.txt", bundle)


PIECES = st.one_of(st.text(max_size=4), st.sampled_from(["'s", "it's", "red", "防晒霜", "12", "a1b2", "...", " ", "'"]))
TRAINED = build_tokenizer()
LOWERCASED = build_tokenizer()
LOWERCASED.normalizer = normalizers.Lowercase()
UNSPLIT = build_tokenizer()
UNSPLIT.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False)


@settings(deadline=None)
@pytest.mark.parametrize("tokenizer", [TRAINED, LOWERCASED, UNSPLIT], ids=["plain", "lowercase", "unsplit"])
@given(texts=st.lists(st.lists(PIECES, max_size=5).map(" ".join), min_size=1, max_size=5))
def test_tokens_are_those_of_the_training_targets(tokenizer: Tokenizer, texts: list[str]) -> None:
    queries = [query for query in map(clean_query, texts) if query]
    if not queries:
        return
    tokenizer.encode_special_tokens = True
    sequences, lengths = tokenise(queries, tokenizer, 64, EOS)
    targets = [[*training_target(tokenizer, query), EOS] for query in queries]
    assert [row[:length].tolist() for row, length in zip(sequences, lengths, strict=True)] == [
        target for target in targets if len(target) <= 64
    ]


def _is_read_whole(query: str) -> bool:
    return len(query) <= MAX_QUERY_CHARACTERS


@given(st.from_regex(r"[0-9A-Za-z一-龥]+(?: [0-9A-Za-z一-龥]+)*", fullmatch=True).filter(_is_read_whole))
def test_queries_of_plain_words_are_clean_already(query: str) -> None:
    assert clean_query(query) == query
