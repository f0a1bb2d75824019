"""Training sources of unknown words: without support their target is [REJECT], with support it stays."""

from __future__ import annotations

import numpy as np
import pytest
from tokenizers import Tokenizer

from training.augmentation import Alphabet, drop_needless_histories, substitute_words, weaken_evidence
from training.data import Ragged
from training.noising import join_segments, split_segments
from training.tokenizer import train_tokenizer

ROWS = 60
OWN = Ragged.from_lists([[row] for row in range(ROWS)])
EVERY = np.arange(ROWS)


@pytest.fixture(scope="module")
def words() -> Tokenizer:
    texts = [f"{a}{b}{a} {b}{a}{b}" for a in "abcdefghij" for b in "klmnopqrstuvw"]
    return train_tokenizer([*texts, *texts, "xy yx zx"], 600)


@pytest.fixture(scope="module")
def alphabet(words: Tokenizer) -> Alphabet:
    return Alphabet.of(words)


def source(words: Tokenizer, *fields: str) -> list[int]:
    special = Alphabet.of(words).special
    parts = [words.encode(field, add_special_tokens=False).ids for field in fields]
    return join_segments(parts, special["bos"], special["sep"], special["eos"])


def target(words: Tokenizer, text: str) -> list[int]:
    return [*words.encode(text, add_special_tokens=False).ids, Alphabet.of(words).special["eos"]]


def fields_of(alphabet: Alphabet, ids: np.ndarray) -> list[list[tuple[int, ...]]]:
    return [alphabet.words(segment) for segment in split_segments(ids.tolist(), alphabet.special["sep"])]


def test_a_weakened_row_has_no_word_of_its_answer_and_rejects(words: Tokenizer, alphabet: Alphabet) -> None:
    row = source(words, "aka bkb ckc dkd eke fkf gkg hkh", "aka", "aka bkb", "aka bkb", "bkb")
    sources, targets = Ragged.from_lists([row] * ROWS), Ragged.from_lists([target(words, "aka bkb")] * ROWS)
    sources, targets = weaken_evidence(sources, targets, OWN, EVERY[:1], alphabet, np.random.default_rng(0))
    assert targets[0].tolist() == [alphabet.special["reject"], alphabet.special["eos"]]
    answer = set(alphabet.words(target(words, "aka bkb")[:-1]))
    text, summary, *lists = fields_of(alphabet, sources[0])
    assert text
    assert not answer & {*text, *summary}
    assert lists == [[], [], []]
    assert len(sources[0]) <= len(row)
    assert sources[1].tolist() == row


def test_some_weakened_rows_get_the_anchors_of_another_one(words: Tokenizer, alphabet: Alphabet) -> None:
    histories = "aka bkb ckc dkd eke fkf gkg hkh iki " * 3
    one = source(words, "aka bkb ckc", "", "aka bkb", histories, "")
    other = source(words, "ili jlj clc", "", "ili jlj", histories, "")
    sources = Ragged.from_lists([one, other] * (ROWS // 2))
    targets = Ragged.from_lists([target(words, "aka"), target(words, "ili")] * (ROWS // 2))
    weak, answers = weaken_evidence(sources, targets, OWN, EVERY, alphabet, np.random.default_rng(0))
    anchors = [fields_of(alphabet, weak[row])[2] for row in range(ROWS)]
    foreign = {0: fields_of(alphabet, np.array(other))[2], 1: fields_of(alphabet, np.array(one))[2]}
    assert ROWS / 6 < sum(found != [] for found in anchors) < ROWS / 2
    assert all(found in ([], foreign[row % 2]) for row, found in enumerate(anchors))
    assert {answer for row in range(ROWS) for answer in answers[row][:-1].tolist()} == {alphabet.special["reject"]}
    assert (weak.lengths <= sources.lengths).all()


def test_histories_go_where_the_other_fields_have_every_word_of_the_answer(
    words: Tokenizer, alphabet: Alphabet
) -> None:
    supported = source(words, "aka ckc", "", "ckc bkb", "aka bkb", "dkd")
    needed = source(words, "aka ckc", "", "ckc", "aka bkb", "dkd")
    targets = Ragged.from_lists([target(words, "aka bkb")] * 2)
    kept, rows = drop_needless_histories(Ragged.from_lists([supported, needed]), targets, OWN, EVERY[:2], alphabet)
    assert rows.tolist() == [0]
    assert kept[0].tolist() == source(words, "aka ckc", "", "ckc bkb", "", "dkd")
    assert kept[1].tolist() == needed


def test_unknown_words_are_the_same_in_every_field_and_in_the_answer(words: Tokenizer, alphabet: Alphabet) -> None:
    row = source(words, "aka bkb ckc", "", "bkb aka", "", "ckc")
    sources, targets = Ragged.from_lists([row] * ROWS), Ragged.from_lists([target(words, "bkb ckc")] * ROWS)
    rng = np.random.default_rng(0)
    sources, targets = substitute_words(sources, targets, OWN, EVERY, alphabet, (60, 16), rng, unknown=True)
    known, replaced = set(alphabet.words(row)), 0
    for number in range(ROWS):
        text, _, anchors, _, personal = fields_of(alphabet, sources[number])
        first, second, third = text
        assert (anchors, personal) == ([second, first], [third])
        assert alphabet.words(targets[number].tolist()[:-1]) == [second, third]
        replaced += len({first, second, third} - known)
    assert replaced > 0.7 * 3 * ROWS
