"""Item-search intent: whether a query looks for something to buy (paper, 3.4.1).

Training targets are clicked queries that users issue to find items. The paper filters them with the classifier of the
platform. Here the intent is learnt from the search log: the share of a query's searches that led to an item click. The
share of a rare query is smoothed towards an estimate from its words; an unseen query has the estimate alone:

    p(q) = (clicked(q) + strength * w(q)) / (searches(q) + strength)

with w a logistic regression on the hashed words and trigrams of the query, fitted on the same counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from offline.arrays import FloatArray, IntArray, Matrix
from offline.logs.coded import Logs

Doubles = npt.NDArray[np.float64]

_NEWTON_STEPS = 8
_RIDGE = 1.0
_ROWS_AT_ONCE = 1 << 16
"""Vectors that are held in double precision at the same time: 128 MiB at 256 dimensions."""


@dataclass(frozen=True, slots=True)
class IntentSettings:
    """How item-search intent is estimated.

    Attributes:
        threshold: a query has item-search intent from this p(q) on.
        strength: the number of searches that the estimate from the words weighs as much as.
    """

    threshold: float = 0.3
    strength: float = 4.0


def item_intent(logs: Logs, query_vectors: Matrix, before_day: int, settings: IntentSettings) -> FloatArray:
    """Return float32 [queries], p(q) of every query, learnt from the searches of the days before `before_day`.

    Without any search all values are 1: no query is filtered.
    """
    past = logs.searches.filter(logs.searches.day < before_day)
    counts = logs.engine.fetch(past.group_by("query").agg(searched=past.searched.sum(), clicked=past.clicked.sum()))
    if not counts.num_rows:
        return np.ones(len(query_vectors), np.float32)
    searched, clicked = np.zeros((2, len(query_vectors)))
    searched[counts["query"].to_numpy()] = counts["searched"].to_numpy()
    clicked[counts["query"].to_numpy()] = counts["clicked"].to_numpy()
    seen = np.flatnonzero(searched)
    weights, bias = _fit_logistic(query_vectors, seen, clicked[seen], searched[seen])
    by_words = _sigmoid(_products(query_vectors, weights) + bias)
    return ((clicked + settings.strength * by_words) / (searched + settings.strength)).astype(np.float32)


def _fit_logistic(vectors: Matrix, rows: IntArray, positives: Doubles, trials: Doubles) -> tuple[Doubles, float]:
    """Ridge logistic regression on counts by Newton's method.

    Args:
        vectors: float32 [m, d].
        rows: int64 [n], the vectors that have counts.
        positives: float64 [n], the number of positive trials.
        trials: float64 [n]; a query weighs by the root of its count, so that frequent ones do not decide alone.

    Returns:
        The weights [d] and the bias.
    """
    scale = 1.0 / np.sqrt(trials)
    positives, trials = positives * scale, trials * scale
    beta = np.zeros(vectors.shape[1] + 1)
    penalty = np.full(len(beta), _RIDGE)
    penalty[-1] = 1e-6  # the bias is free
    for _ in range(_NEWTON_STEPS):
        gradient, curvature = -penalty * beta, np.diag(penalty)
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            features = vectors[rows[part]]
            design = np.hstack([features, np.ones((len(features), 1), features.dtype)]).astype(np.float64)
            predicted = _sigmoid(design @ beta)
            gradient += design.T @ (positives[part] - trials[part] * predicted)
            curvature += (design * (trials[part] * predicted * (1 - predicted))[:, None]).T @ design
        step = np.linalg.solve(curvature, gradient)
        beta += step
        if np.abs(step).max() < 1e-2:
            break
    return beta[:-1], float(beta[-1])


def _products(vectors: Matrix, weights: Doubles) -> Doubles:
    """Return float64 [n], the products of all vectors with `weights`."""
    products = np.empty(len(vectors))
    for start in range(0, len(vectors), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        products[part] = vectors[part] @ weights
    return products


def _sigmoid(logits: Doubles) -> Doubles:
    chances: Doubles = 1.0 / (1.0 + np.exp(-np.clip(logits, -30.0, 30.0)))
    return chances
