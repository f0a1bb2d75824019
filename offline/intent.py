"""Item-search intent: does a query look for something to buy? (paper, 3.4.1)

Training targets are clicked queries that people use to find items; the paper filters them with the platform's own
classifier. Here it is learnt from the search log: the share of a query's searches that led to an item click. A query
seen a few times is pulled towards what its words suggest, and an unseen one is judged by its words alone:

    p(q) = (clicked(q) + strength * w(q)) / (searches(q) + strength)

with w a logistic regression on the hashed words and trigrams of the query, fitted on the same counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from offline.embedder import Matrix
from offline.logs import Logs
from offline.ranked import FloatArray

Doubles = npt.NDArray[np.float64]

_NEWTON_STEPS = 8
_RIDGE = 1.0


@dataclass(frozen=True, slots=True)
class IntentSettings:
    """How item-search intent is judged.

    Attributes:
        threshold: a query has item intent when p(q) reaches it.
        strength: how many searches the words of a query are worth.
    """

    threshold: float = 0.3
    strength: float = 4.0


def item_intent(logs: Logs, query_vectors: Matrix, before_day: int, settings: IntentSettings) -> FloatArray:
    """float32 [queries], p(q) for every query of the vocabulary, learnt from searches of days before `before_day`.

    Without any search the answer is 1 everywhere: with nothing known, nothing is filtered.
    """
    searches = logs.searches
    past = searches.day < before_day
    size = len(query_vectors)
    asked = np.bincount(searches.query[past], minlength=size).astype(np.float64)
    clicked = np.bincount(searches.query[past & (searches.item_clicks > 0)], minlength=size).astype(np.float64)
    if not asked.any():
        return np.ones(size, np.float32)
    seen = asked > 0
    weights, bias = _fit_logistic(query_vectors[seen], clicked[seen], asked[seen])
    by_words = _sigmoid(query_vectors @ weights + bias)
    return ((clicked + settings.strength * by_words) / (asked + settings.strength)).astype(np.float32)


def _fit_logistic(features: Matrix, positives: Doubles, trials: Doubles) -> tuple[Doubles, float]:
    """Ridge logistic regression on counts by Newton's method.

    Args:
        features: float32 [n, d].
        positives: float64 [n], how many of the trials were positive.
        trials: float64 [n]; a frequent query weighs by the root of its count, so that the head does not drown the tail.

    Returns:
        weights [d] and the bias.
    """
    design = np.hstack([features, np.ones((len(features), 1), features.dtype)]).astype(np.float64)
    scale = 1.0 / np.sqrt(trials)
    positives, trials = positives * scale, trials * scale
    beta = np.zeros(design.shape[1])
    penalty = np.full(design.shape[1], _RIDGE)
    penalty[-1] = 1e-6  # the bias is free
    for _ in range(_NEWTON_STEPS):
        predicted = _sigmoid(design @ beta)
        gradient = design.T @ (positives - trials * predicted) - penalty * beta
        curvature = (design * (trials * predicted * (1 - predicted))[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(curvature, gradient)
        beta += step
        if np.abs(step).max() < 1e-2:
            break
    return beta[:-1], float(beta[-1])


def _sigmoid(logits: Doubles) -> Doubles:
    chances: Doubles = 1.0 / (1.0 + np.exp(-np.clip(logits, -30.0, 30.0)))
    return chances
