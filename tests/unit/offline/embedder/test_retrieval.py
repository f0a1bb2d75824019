"""Ranks, recall and MRR, against values counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from evidence.embedder import HashedEmbedder
from offline.embedder.relations import QUERY_QUERY, QUERY_VIDEO, VIDEO_QUERY, Events, Pairs, Relations
from offline.embedder.retrieval import held_out_pairs, mean_ranks, measure


def codes(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def test_a_rank_counts_what_is_nearer_and_half_of_what_is_equal() -> None:
    left = np.array([[1.0, 0.0]], np.float32)
    right = np.array([[0.9, 0], [0.5, 0], [0.5, 0], [0.5, 0], [0.1, 0], [1.0, 0]], np.float32)
    pairs = Pairs(codes(0, 0, 0), codes(0, 2, 4), codes(1, 1, 1))
    usable = np.array([True, True, True, True, True, False])
    assert mean_ranks(left, right, pairs, usable).tolist() == [1.0, 3.0, 5.0]


@pytest.fixture
def relations() -> Relations:
    empty = Events(codes(), codes(), codes())
    clicks = Events(codes(0, 1, 1, 1), codes(0, 0, 1, 0), codes(0, 0, 2, 2))
    return Relations(
        {QUERY_VIDEO: clicks, VIDEO_QUERY: empty, QUERY_QUERY: empty},
        ["steel kettle", "", "road bike"],
        ["kettle", "bike"],
    )


def test_held_out_pairs_are_those_of_one_day_and_know_what_is_unseen(relations: Relations) -> None:
    held = held_out_pairs(relations, 1, most=100, seed=0)
    assert list(held) == [QUERY_VIDEO]
    pairs = held[QUERY_VIDEO].pairs
    assert list(zip(pairs.left, pairs.right, held[QUERY_VIDEO].unseen, strict=True)) == [
        (0, 0, False),
        (0, 2, True),
        (1, 2, True),
    ]
    assert len(held_out_pairs(relations, 1, most=2, seed=0)[QUERY_VIDEO].pairs) == 2


def test_recall_and_mrr_are_of_all_pairs_and_of_unseen_ones(relations: Relations) -> None:
    report = measure(relations, held_out_pairs(relations, 1, most=100, seed=0), HashedEmbedder())[QUERY_VIDEO]
    # "kettle" finds its video first and the bike second; "bike" finds the bike first. Video 1 has no text.
    assert report["all"] == {"pairs": 3, "recall@1": 0.6667, "recall@10": 1.0, "recall@100": 1.0, "mrr": 0.8333}
    assert report["unseen"]["mrr"] == 0.75
