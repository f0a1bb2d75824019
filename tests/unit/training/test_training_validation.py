from __future__ import annotations

import numpy as np
import pytest
from tokenizers import Tokenizer

from training.config import ValidationConfig
from training.data import PackedExamples, Ragged
from training.validation import hypothesis_rank, reject_quality, sample_validation


def ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False).ids


def test_rank_counts_distinct_queries_and_skips_rejection(tokenizer: Tokenizer) -> None:
    chair, bank = ids(tokenizer, "camping chair"), ids(tokenizer, "power bank")
    reject, eos, pad = 6, 2, 1
    hypotheses = [[reject, eos, pad], [*bank, eos], [*bank, eos, pad], [*chair, eos]]
    assert hypothesis_rank(tokenizer, chair, hypotheses, reject) == 2
    assert hypothesis_rank(tokenizer, bank, hypotheses, reject) == 1
    assert hypothesis_rank(tokenizer, ids(tokenizer, "kettle"), hypotheses, reject) == 0


def test_the_same_text_from_other_tokens_is_the_same_query(tokenizer: Tokenizer) -> None:
    spelled = [tokenizer.token_to_id(token) for token in "Ġpower"]
    assert hypothesis_rank(tokenizer, ids(tokenizer, "power"), [spelled], 6) == 1


def test_reject_quality_by_hand() -> None:
    probabilities = np.array([0.9, 0.6, 0.4, 0.7, 0.1])
    is_reject = np.array([True, True, True, False, False])
    assert reject_quality(probabilities, is_reject, 0.5) == {
        "reject_precision": pytest.approx(2 / 3),
        "reject_recall": pytest.approx(2 / 3),
        "click_abstained": 0.5,
    }


def test_the_threshold_itself_abstains_as_in_serving() -> None:
    quality = reject_quality(np.array([0.5, 0.4999]), np.array([True, False]), 0.5)
    assert (quality["reject_recall"], quality["click_abstained"]) == (1.0, 0.0)


def test_without_any_abstention_precision_is_zero() -> None:
    quality = reject_quality(np.array([0.1]), np.array([False]), 0.5)
    assert quality == {"reject_precision": 0.0, "reject_recall": 0.0, "click_abstained": 0.0}


def test_the_validation_sample_is_fixed_and_holds_both_kinds() -> None:
    rows = Ragged.from_lists([[0, n, 2] for n in range(100)])
    examples = PackedExamples(rows, rows, np.arange(100) % 4 == 0, np.arange(100))
    config = ValidationConfig(click_examples=10, reject_examples=50)
    one, two = (sample_validation(examples, config, 3) for _ in range(2))
    assert one.sources.values.tolist() == two.sources.values.tolist()
    assert (one.is_reject.sum(), (~one.is_reject).sum()) == (25, 10)
