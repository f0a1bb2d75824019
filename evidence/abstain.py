"""The rule by which a model's `[REJECT]` empties the bar. Serving, evaluation and training all call this function."""

from __future__ import annotations


def model_abstains(reject_probability: float, threshold: float, *, reject_is_best: bool = False) -> bool:
    """Return whether the model asks to show nothing.

    Args:
        reject_probability: P([REJECT]) as the first token.
        threshold: the probability from which the bundle abstains; a probability equal to it abstains.
        reject_is_best: whether `[REJECT]` is the best hypothesis, which abstains at any probability.
    """
    return reject_is_best or reject_probability >= threshold
