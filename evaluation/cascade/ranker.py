"""The CTR ranker: the probability that a viewer who acts wants a candidate, by gradient boosting.

It learns from the clicks of one past day, with the evidence and the indexes as of that day. A candidate is positive if
it is the query that the viewer clicked or typed, and all other candidates of the same impression are negative. Clicks
in the bar alone would teach what the logging policy showed at which position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier

from evaluation.cascade.features import VIDEO_COSINE, CandidateRows, Matrix
from evaluation.errors import InputError

KEPT_BY_RELEVANCE = 0.99
"""Share of the wanted candidates that the relevance filter keeps on the day that the ranker learns from."""
_TREES, _LEAVES, _RATE, _LEAF_ROWS = 100, 15, 0.05, 200
"""Chosen on a demo world: more leaves, or leaves of fewer rows, rank worse than the order of the cached queries."""


@dataclass(frozen=True, slots=True)
class Ranker:
    """A trained ranker and the threshold of the relevance filter.

    Attributes:
        model: of scikit-learn.
        lowest_cosine: candidates whose cosine with the video is lower are filtered.
    """

    model: HistGradientBoostingClassifier
    lowest_cosine: float

    def probabilities(self, features: Matrix) -> npt.NDArray[np.float64]:
        """Return float64[m], the probability of each row of float32 [m, features]."""
        if not len(features):
            return np.zeros(0)
        chances: npt.NDArray[np.float64] = self.model.predict_proba(features)[:, 1]
        return chances

    def relevant(self, features: Matrix) -> npt.NDArray[np.bool_]:
        """Return bool[m], which rows pass the relevance filter."""
        passes: npt.NDArray[np.bool_] = features[:, VIDEO_COSINE] >= self.lowest_cosine
        return passes


def train_ranker(rows: CandidateRows, targets: Sequence[str], seed: int = 0) -> Ranker:
    """Train on the candidates of clicks.

    Args:
        rows: of n clicks of one past day.
        targets: n clicked queries, in normal form.
        seed: of the training.

    Raises:
        InputError: no candidate is a clicked query, or all are.
    """
    wanted = np.array([query == targets[owner] for query, owner in zip(rows.queries, rows.owner, strict=True)], bool)
    if not wanted.any() or wanted.all():
        raise InputError("the cascade cannot be trained: the sources never recall a clicked query; use longer logs")
    model = HistGradientBoostingClassifier(
        max_iter=_TREES,
        max_leaf_nodes=_LEAVES,
        learning_rate=_RATE,
        min_samples_leaf=_LEAF_ROWS,
        early_stopping=False,
        random_state=seed,
    )
    model.fit(rows.features, wanted)
    return Ranker(model, float(np.quantile(rows.features[wanted, VIDEO_COSINE], 1 - KEPT_BY_RELEVANCE)))
