"""Stage II's loss against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from training.preference.losses import listwise_preference_loss


def loss_of(ratios, clicked, beta=1.0, temperature=1.0):  # type: ignore[no-untyped-def]
    """Return loss and share of wins of lists of uneven length."""
    longest = max(map(len, ratios))
    padded = torch.tensor([[*row, *[0.0] * (longest - len(row))] for row in ratios], dtype=torch.float64)
    present = torch.tensor([[n < len(row) for n in range(longest)] for row in ratios])
    clicks = torch.tensor([[n < count for n in range(longest)] for count in clicked])
    return listwise_preference_loss(padded, present, clicks, beta, temperature)


def test_each_anchor_is_compared_with_its_whole_lower_suffix() -> None:
    # Levels 1, 3 and 5: two anchors. exp(s) = 2, 1, 1.
    loss, wins = loss_of([[math.log(2), 0.0, 0.0]], [2])
    first, second = 2 / (2 + 1 + 1), 1 / (1 + 1)
    assert loss.item() == pytest.approx(-(math.log(first) + math.log(second)) / 2)
    assert wins.item() == 0.5  # the second anchor has only drawn


def test_beta_and_temperature_scale_the_log_ratios() -> None:
    loss, _ = loss_of([[1.0, 0.0]], [1], beta=0.5, temperature=2.0)
    assert loss.item() == pytest.approx(-math.log(1 / (1 + math.exp(-0.25))))


def test_a_list_of_two_is_pair_wise_dpo() -> None:
    chosen, rejected, beta = 0.7, -0.4, 0.1
    loss, wins = loss_of([[chosen, rejected]], [1], beta=beta)
    dpo = -torch.nn.functional.logsigmoid(torch.tensor(beta * (chosen - rejected)))
    assert loss.item() == pytest.approx(dpo.item())
    assert wins.item() == 1.0


def test_the_last_candidate_and_what_was_not_clicked_are_no_anchors() -> None:
    every_click, _ = loss_of([[0.3, 0.1]], [2])
    one_click, _ = loss_of([[0.3, 0.1]], [1])
    assert every_click.item() == pytest.approx(one_click.item())


def test_padding_changes_nothing_and_lists_count_alike() -> None:
    lists = [[0.5, -0.2], [0.1, 0.0, -0.3, 0.4]]
    together, _ = loss_of(lists, [1, 3])
    alone = [loss_of([row], [count])[0].item() for row, count in zip(lists, [1, 3], strict=True)]
    assert together.item() == pytest.approx(sum(alone) / 2)


def test_a_batch_without_anchors_has_no_loss_and_a_finite_gradient() -> None:
    ratios = torch.zeros(2, 3, requires_grad=True)
    present = torch.tensor([[True, True, False], [True, False, False]])
    loss, wins = listwise_preference_loss(ratios, present, torch.zeros_like(present), 0.1, 1.0)
    loss.backward()
    assert (loss.item(), wins.item()) == (0.0, 0.0)
    assert ratios.grad is not None
    assert torch.isfinite(ratios.grad).all()


def test_gradients_agree_with_differences() -> None:
    present = torch.tensor([[True] * 4, [True, True, False, False]])
    clicked = torch.tensor([[True, True, True, False], [True, False, False, False]])
    ratios = torch.randn(2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    (gradient,) = torch.autograd.grad(listwise_preference_loss(ratios, present, clicked, 0.5, 0.8)[0], ratios)
    step = 1e-3  # sums are in fp32
    for place in ((0, 0), (0, 2), (0, 3), (1, 1)):
        moved = torch.zeros_like(ratios)
        moved[place] = step
        up, down = (
            listwise_preference_loss(ratios.detach() + s * moved, present, clicked, 0.5, 0.8)[0] for s in (1, -1)
        )
        assert gradient[place].item() == pytest.approx((up - down).item() / (2 * step), abs=2e-3)
