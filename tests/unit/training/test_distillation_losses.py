"""Stage III's terms against numbers worked out by hand, and their gradients against differences."""

from __future__ import annotations

import math

import pytest
import torch

from training.piopd.losses import (
    adversarial_step,
    constrained,
    forward_kl,
    jensen_shannon,
    negative_entropy,
    on_support,
    r_drop,
    reverse_kl,
    soften,
)

# One position, three tokens.
TEACHER = torch.log(torch.tensor([[0.5, 0.25, 0.25]], dtype=torch.float64))
STUDENT = torch.log(torch.tensor([[0.25, 0.25, 0.5]], dtype=torch.float64))
KL = 0.5 * math.log(2) - 0.25 * math.log(2)  # the same in both directions here


def test_forward_and_reverse_kl() -> None:
    skewed = torch.log(torch.tensor([[0.8, 0.1, 0.1]], dtype=torch.float64))
    assert forward_kl(TEACHER, STUDENT).item() == pytest.approx(KL)
    assert forward_kl(TEACHER, skewed).item() == pytest.approx(0.5 * math.log(0.5 / 0.8) + 0.5 * math.log(0.25 / 0.1))
    assert reverse_kl(TEACHER, skewed).item() == pytest.approx(forward_kl(skewed, TEACHER).item())
    assert reverse_kl(TEACHER, TEACHER).item() == pytest.approx(0.0)


def test_a_temperature_over_one_softens() -> None:
    logits = torch.tensor([[2.0, 0.0]])
    assert soften(logits, 2.0).exp()[0, 0].item() == pytest.approx(1 / (1 + math.exp(-1)))


def test_jensen_shannon_is_symmetric_and_at_most_log_2() -> None:
    apart = (torch.log(torch.tensor([[1.0, 1e-12]])), torch.log(torch.tensor([[1e-12, 1.0]])))
    assert jensen_shannon(*apart).item() == pytest.approx(math.log(2), abs=1e-5)
    assert jensen_shannon(TEACHER, STUDENT).item() == pytest.approx(jensen_shannon(STUDENT, TEACHER).item())
    middle = torch.tensor([0.375, 0.25, 0.375])
    by_hand = 0.5 * sum(p * math.log(p / m) for p, m in zip([0.5, 0.25, 0.25], middle.tolist(), strict=True)) * 2
    assert jensen_shannon(TEACHER, STUDENT).item() == pytest.approx(by_hand)


def test_a_support_keeps_the_teachers_best_tokens_and_renormalises_both() -> None:
    logits = torch.log(torch.tensor([[0.6, 0.3, 0.1]]))
    other = torch.log(torch.tensor([[0.1, 0.1, 0.8]]))
    teacher, student = on_support(logits, other, 2)
    torch.testing.assert_close(teacher.exp(), torch.tensor([[2 / 3, 1 / 3]]))
    torch.testing.assert_close(student.exp(), torch.tensor([[0.5, 0.5]]))
    for size in (0, 3, 100):
        assert on_support(logits, other, size) == (logits, other)


def test_constrained_distillation_charges_mass_outside_the_support() -> None:
    teacher = torch.log(torch.tensor([[0.6, 0.3, 0.1]]))
    inside = torch.log(torch.tensor([[2 / 3, 1 / 3, 1e-9]]))
    outside = torch.log(torch.tensor([[0.4, 0.2, 0.4]]))
    assert constrained(teacher, inside, 2).item() == pytest.approx(0.0, abs=1e-6)
    assert constrained(teacher, outside, 2).item() == pytest.approx(-math.log(0.6), abs=1e-6)


def test_negative_entropy_is_lowest_for_the_uniform_distribution() -> None:
    uniform = torch.log(torch.full((1, 3), 1 / 3))
    assert negative_entropy(uniform).item() == pytest.approx(-math.log(3))
    assert negative_entropy(STUDENT).item() == pytest.approx(-(0.5 * math.log(4) + 0.5 * math.log(2)))


def test_r_drop_is_the_mean_of_both_divergences() -> None:
    assert r_drop(TEACHER, STUDENT).item() == pytest.approx(KL)
    assert r_drop(STUDENT, STUDENT).item() == pytest.approx(0.0)


def test_the_adversarial_step_has_the_asked_length_for_each_source() -> None:
    gradient = torch.tensor([[[3.0, 4.0]], [[0.0, 1e-3]]])
    step = adversarial_step(gradient, 0.5)
    torch.testing.assert_close(step, torch.tensor([[[0.3, 0.4]], [[0.0, 0.5]]]))
    assert torch.isfinite(adversarial_step(torch.zeros(1, 2, 2), 0.5)).all()


@pytest.mark.parametrize(
    "loss",
    [
        lambda s: forward_kl(TEACHER.float(), soften(s, 1.0)),
        lambda s: reverse_kl(TEACHER.float(), soften(s, 1.0)),
        lambda s: jensen_shannon(TEACHER.float(), soften(s, 1.0)),
        lambda s: constrained(TEACHER.float(), soften(s, 1.0), 2),
        lambda s: negative_entropy(soften(s, 1.0)),
        lambda s: r_drop(TEACHER.float(), soften(s, 1.0)),
    ],
    ids=["forward_kl", "reverse_kl", "jsd", "ckd", "entropy", "r_drop"],
)
def test_gradients_agree_with_differences(loss) -> None:  # type: ignore[no-untyped-def]
    logits = torch.tensor([[0.3, -0.5, 0.9]], requires_grad=True)
    (gradient,) = torch.autograd.grad(loss(logits), logits)
    for token in range(3):
        moved = torch.zeros(1, 3)
        moved[0, token] = 1e-2
        difference = (loss(logits.detach() + moved) - loss(logits.detach() - moved)).item() / 2e-2
        assert gradient[0, token].item() == pytest.approx(difference, abs=1e-3)
