"""The ANN baseline: the past queries nearest to the video in the embedder's space (paper, 5.1).

The search is exact. Its figures are those of an index without any loss of recall.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from evaluation.inputs import Example
from evaluation.metrics import CUTOFF, normal_form
from evidence.embedding import trigger_text
from evidence.schema import Evidence

Matrix = npt.NDArray[np.float32]

CANDIDATES = 50
"""Nearest queries that are read before popularity orders them."""
_VIDEOS_AT_ONCE = 256


class TextEmbedder(Protocol):
    """What measuring needs of an embedder: one space for texts of videos and for queries."""

    @property
    def dimension(self) -> int:
        """The length of a vector."""

    def embed(self, texts: Sequence[str]) -> Matrix:
        """Return float32 [n, dimension]: rows of length 1, all zeros where nothing of a text is known."""


class NearestQueries:
    """Retrieval without generation: the queries of earlier days that are nearest to the text and summary of a video.

    A query scores its cosine with the video, plus `popularity` times the logarithm of 1 + its clicks.
    """

    def __init__(self, queries: Iterable[str], embedder: TextEmbedder, popularity: float = 0.0) -> None:
        """Embed the distinct queries of earlier days.

        Args:
            queries: clicked queries of the days before the held-out one.
            embedder: trained on earlier days too.
            popularity: the weight of clicks; 0 ranks by the cosine alone, as the paper does.
        """
        clicks = Counter(map(normal_form, queries))
        self._queries = sorted(clicks)
        self._embedder = embedder
        self._vectors = embedder.embed(self._queries)  # [queries, d]
        counts = np.array([clicks[query] for query in self._queries], np.float32)
        self._bonus = np.float32(popularity) * np.log1p(counts)  # [queries]

    def predict(self, examples: Sequence[Example]) -> list[list[str]]:
        """Return eight queries for each example, none where nothing of the video's text is known."""
        texts = [video_text(example.evidence()) for example in examples]
        different = list(dict.fromkeys(texts))
        answers: dict[str, list[str]] = {}
        for start in range(0, len(different), _VIDEOS_AT_ONCE):
            part = different[start : start + _VIDEOS_AT_ONCE]
            answers.update(zip(part, self._nearest(self._embedder.embed(part)), strict=True))
        return [answers[text] for text in texts]

    def _nearest(self, videos: Matrix) -> list[list[str]]:
        """Return the best queries of each row of float32 [n, d]."""
        similarity = videos @ self._vectors.T  # [n, queries]
        width = min(CANDIDATES, similarity.shape[1])
        near = np.argpartition(-similarity, width - 1, axis=1)[:, :width]  # [n, width]
        score = np.take_along_axis(similarity, near, 1) + self._bonus[near]
        order = np.lexsort((near, -score))[:, :CUTOFF]
        best = np.take_along_axis(near, order, 1)
        known = np.asarray(videos.any(axis=1))
        return [[self._queries[place] for place in row] if has else [] for row, has in zip(best, known, strict=True)]


def video_text(evidence: Evidence) -> str:
    """Return what is embedded of a video, the same as in serving."""
    return trigger_text(evidence.text, evidence.summary)
