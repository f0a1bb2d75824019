"""The contrastive loss of the embedder, with the other pairs of a batch as negatives (paper, 3.2).

For a batch of pairs (l_i, r_i) of unit vectors and a temperature t, with s_ij = l_i r_j / t:

    L = -1/2n sum_i [log softmax_j(s_ij) + log softmax_j(s_ji)]   both over j = i and the negatives of i

A pair j is no negative of i if their left or their right texts are equal: popular queries and videos repeat in every
batch, and a clicked pair must not be pushed apart. More columns than two are negatives of the left text alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_MIX_1, _MIX_2 = -7046029254386353131, -4417276706812531889  # odd 64-bit constants of splitmix64 and murmur3


def contrastive_loss(
    left: Tensor, rights: list[Tensor], left_keys: Tensor, right_keys: list[Tensor], temperature: float
) -> Tensor:
    """Return the loss of a batch, a scalar.

    Args:
        left: [n, d], of any length; compared by cosine.
        rights: [n, d] each; the first is the partner of `left`, the others are negatives of it.
        left_keys: int64[n], equal for equal texts.
        right_keys: int64[n] each.
        temperature: t.
    """
    left = functional.normalize(left, dim=-1)
    right = functional.normalize(torch.cat(rights), dim=-1)  # [n * columns, d]
    size = len(left)
    logits = left @ right.T / temperature  # [n, n * columns]
    same_left = left_keys[:, None] == left_keys[None, :]  # [n, n]
    partners, others = right_keys[0], torch.cat(right_keys)
    excluded = partners[:, None] == others[None, :]  # [n, n * columns]
    excluded[:, :size] |= same_left
    excluded.fill_diagonal_(False)
    forward = logits.masked_fill(excluded, -torch.inf)
    backward = logits[:, :size].masked_fill(excluded[:, :size], -torch.inf).T
    partner = torch.arange(size, device=left.device)
    return (functional.cross_entropy(forward, partner) + functional.cross_entropy(backward, partner)) / 2


def text_keys(features: dict[str, Tensor]) -> Tensor:
    """Return int64[n], equal for texts with equal tokens, in any order.

    Args:
        features: what a model of sentence-transformers reads: `input_ids` with `attention_mask` [n, length], or flat
            `input_ids` with the `offsets` [n] of the texts.
    """
    hashed = features["input_ids"].long() * _MIX_1
    hashed = (hashed ^ (hashed >> 29)) * _MIX_2
    hashed = hashed ^ (hashed >> 32)
    if "offsets" not in features:
        return (hashed * features["attention_mask"]).sum(dim=1)
    offsets = features["offsets"]
    sums = torch.cat([hashed.new_zeros(1), hashed.cumsum(0)])
    ends = torch.cat([offsets[1:], offsets.new_tensor([len(hashed)])])
    return sums[ends] - sums[offsets]


class InBatchLoss(nn.Module):
    """`contrastive_loss` as the trainer of sentence-transformers calls it."""

    def __init__(self, model: nn.Module, temperature: float) -> None:
        """Keep the model whose vectors are compared."""
        super().__init__()
        self.model = model
        self.temperature = temperature

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor | None = None) -> Tensor:
        """Return the loss of a batch of columns of texts; there are no labels."""
        columns = list(sentence_features)
        keys = [text_keys(features) for features in columns]
        vectors = [self.model(features)["sentence_embedding"] for features in columns]
        return contrastive_loss(vectors[0], vectors[1:], keys[0], keys[1:], self.temperature)

    def get_config_dict(self) -> dict[str, Any]:
        """Return the settings, for the model card."""
        return {"temperature": self.temperature}
