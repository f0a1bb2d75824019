from __future__ import annotations

import math

import pytest
import torch

from training.losses import query_loss, sft_loss, token_accuracy

# Two tokens over a vocabulary of three: probabilities (.5, .25, .25) and (.2, .2, .6).
LOGITS = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]])) + torch.tensor([[3.0], [-1.0]])


def test_sft_loss_is_the_mean_negative_log_probability_of_the_labels() -> None:
    loss = sft_loss(LOGITS, torch.tensor([1, 2]))
    assert loss.item() == pytest.approx(-(math.log(0.25) + math.log(0.6)) / 2, abs=1e-6)


def test_weights_are_normalised() -> None:
    loss = sft_loss(LOGITS, torch.tensor([1, 2]), weights=torch.tensor([3.0, 1.0]))
    assert loss.item() == pytest.approx(-(3 * math.log(0.25) + math.log(0.6)) / 4, abs=1e-6)


def test_a_target_of_weight_zero_gives_no_gradient() -> None:
    logits = LOGITS.clone().requires_grad_()
    sft_loss(logits, torch.tensor([1, 2]), weights=torch.tensor([0.0, 1.0])).backward()
    assert logits.grad is not None
    assert logits.grad[0].abs().sum() == 0
    # d(-log softmax)/d(logit) = p - onehot
    torch.testing.assert_close(logits.grad[1], torch.tensor([0.2, 0.2, -0.4]))


def test_a_batch_of_weight_zero_has_the_loss_zero() -> None:
    logits = torch.randn(3, 5, requires_grad=True)
    sft_loss(logits, torch.tensor([1, 2, 3]), torch.zeros(3)).backward()
    assert logits.grad is not None
    assert not logits.grad.any()
    assert query_loss(torch.tensor([-1.0, -2.0]), torch.tensor([3, 4]), torch.zeros(2)) == 0


def test_label_smoothing_mixes_in_the_uniform_distribution() -> None:
    loss = sft_loss(LOGITS[:1], torch.tensor([0]), label_smoothing=0.3)
    uniform = -(math.log(0.5) + 2 * math.log(0.25)) / 3
    assert loss.item() == pytest.approx(-0.7 * math.log(0.5) + 0.3 * uniform, abs=1e-6)


def test_bf16_logits_are_summed_in_fp32() -> None:
    assert sft_loss(LOGITS.bfloat16(), torch.tensor([1, 2])).dtype == torch.float32


def test_token_accuracy_counts_the_most_likely_token() -> None:
    assert token_accuracy(LOGITS, torch.tensor([0, 1])).item() == 0.5
