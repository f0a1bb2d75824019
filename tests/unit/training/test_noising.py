from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from evidence.render import split_on
from training.noising import infill, join_segments, split_segments, word_start_table

MASK = 4
# Ids from 100 start a word, ids 50..99 continue one.
STARTS = np.arange(200) >= 100
WORDS = [[100, 50], [101], [102, 51, 52], [103], [104], [105, 53], [106], [107], [108], [109]]
TEXT = [i for word in WORDS for i in word]


def test_without_words_to_mask_one_mask_is_inserted_and_nothing_is_lost() -> None:
    noised = infill([100, 50, 101], STARTS, MASK, 0.0, 3.0, np.random.default_rng(0))
    assert noised.count(MASK) == 1
    assert [i for i in noised if i != MASK] == [100, 50, 101]


def test_an_empty_segment_stays_empty() -> None:
    assert infill([], STARTS, MASK, 0.3, 3.0, np.random.default_rng(0)) == []


def test_everything_can_be_masked() -> None:
    noised = infill(TEXT, STARTS, MASK, 1.0, 3.0, np.random.default_rng(3))
    assert set(noised) == {MASK}


@given(seed=st.integers(0, 10_000), ratio=st.floats(0.05, 0.9))
def test_only_whole_words_go_and_order_stays(seed: int, ratio: float) -> None:
    noised = infill(TEXT, STARTS, MASK, ratio, 3.0, np.random.default_rng(seed))
    kept = [i for i in noised if i != MASK]
    surviving = [word for word in WORDS if word[0] in kept]
    assert kept == [i for word in surviving for i in word]
    assert noised.count(MASK) >= 1


def test_about_the_given_share_of_words_is_masked_in_spans() -> None:
    rng = np.random.default_rng(7)
    long_text = [100 + n % 100 for n in range(1000)]
    noised = infill(long_text, STARTS, MASK, 0.3, 3.0, rng)
    assert sum(i != MASK for i in noised) == pytest.approx(700, abs=1)
    # 300 words in spans of Poisson(3), some of no words
    assert 80 <= noised.count(MASK) <= 125


def test_segments_split_and_join_back() -> None:
    ids = [0, 100, 5, 5, 101, 50, 5, 5, 102, 2]
    assert split_segments(ids, 5) == [[100], [], [101, 50], [], [102]]
    assert join_segments(split_segments(ids, 5), 0, 5, 2) == ids


def test_split_on_gives_one_part_more_than_separators() -> None:
    assert split_on([1, 9, 2, 9], 9) == [[1], [2], []]


def test_words_start_at_spaces_and_at_chinese_characters(tokenizer: Tokenizer) -> None:
    starts = word_start_table(tokenizer)
    encoded = tokenizer.encode("power bank", add_special_tokens=False)
    words = sum(bool(starts[i]) for i in encoded.ids)
    assert words == 2
    chinese = tokenizer.encode("快充充电宝", add_special_tokens=False)
    assert sum(bool(starts[i]) for i in chinese.ids) >= 2
