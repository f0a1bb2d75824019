"""The contrastive loss, against values computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from offline.embedder.loss import InBatchLoss, contrastive_loss, text_keys

X, Y = [1.0, 0.0], [0.0, 1.0]


def loss(
    left: list[list[float]], rights: list[list[list[float]]], left_keys: list[int], keys: list[list[int]]
) -> float:
    return float(
        contrastive_loss(
            torch.tensor(left),
            [torch.tensor(right) for right in rights],
            torch.tensor(left_keys),
            [torch.tensor(column) for column in keys],
            temperature=0.5,
        )
    )


def test_each_pair_is_told_from_the_other_one_in_both_directions() -> None:
    # Own products are 1 / .5 = 2, the others 0, in rows and in columns.
    assert loss([X, Y], [[X, Y]], [1, 2], [[3, 4]]) == pytest.approx(math.log(1 + math.exp(-2)))


def test_vectors_are_compared_by_their_direction() -> None:
    assert loss([[5.0, 0.0], Y], [[X, [0.0, 9.0]]], [1, 2], [[3, 4]]) == pytest.approx(math.log(1 + math.exp(-2)))


@pytest.mark.parametrize(("left_keys", "right_keys"), [([1, 1], [3, 4]), ([1, 2], [3, 3])])
def test_pairs_with_an_equal_text_are_no_negatives(left_keys: list[int], right_keys: list[int]) -> None:
    assert loss([X, X], [[X, Y]], left_keys, [right_keys]) == pytest.approx(0.0)


def test_a_third_column_is_a_negative_of_the_left_texts_only() -> None:
    # Forward of each: its own 2, the other 0, the negatives 2 and 0. Backward: its own 2, the other 0.
    forward = math.log(2 * math.exp(2) + 2) - 2
    backward = math.log(1 + math.exp(-2))
    found = loss([X, Y], [[X, Y], [X, Y]], [1, 2], [[3, 4], [5, 6]])
    assert found == pytest.approx((forward + backward) / 2)


def test_a_negative_equal_to_the_partner_does_not_count() -> None:
    # Of its two negatives each left text has only the one of the other pair, whose product is 0.
    forward, backward = math.log(1 + 2 * math.exp(-2)), math.log(1 + math.exp(-2))
    found = loss([X, Y], [[X, Y], [X, Y]], [1, 2], [[3, 4], [3, 4]])
    assert found == pytest.approx((forward + backward) / 2)


def test_keys_are_equal_for_equal_texts_padded_or_flat() -> None:
    padded = text_keys(
        {
            "input_ids": torch.tensor([[5, 6, 0], [6, 5, 9], [5, 6, 7]]),
            "attention_mask": torch.tensor([[1, 1, 0], [1, 1, 0], [1, 1, 1]]),
        }
    )
    flat = text_keys({"input_ids": torch.tensor([5, 6, 6, 5, 5, 6, 7]), "offsets": torch.tensor([0, 2, 4])})
    assert padded.tolist() == flat.tolist()
    assert padded[0] == padded[1] != padded[2]


def test_keys_of_different_texts_differ_though_the_sums_of_their_ids_are_equal() -> None:
    ids = torch.arange(4000)
    pairs = torch.stack([ids, 4000 - ids], dim=1)[:2000]  # every row sums to 4000
    keys = text_keys({"input_ids": pairs, "attention_mask": torch.ones_like(pairs)})
    assert len(keys.unique()) == 2000


def test_the_trainer_calls_it_with_columns_of_features() -> None:
    class Model(torch.nn.Module):
        def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            return {"sentence_embedding": torch.eye(2)[features["input_ids"][features["offsets"]]]}

    columns = [{"input_ids": torch.tensor([0, 1]), "offsets": torch.tensor([0, 1])} for _ in range(2)]
    assert float(InBatchLoss(Model(), 0.5)(columns)) == pytest.approx(math.log(1 + math.exp(-2)))
