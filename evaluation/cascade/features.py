"""What the ranker knows of a candidate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluation.cascade.recall import SOURCES, Candidates
from evaluation.inputs import Example
from evaluation.nearest import TextEmbedder, video_text
from evaluation.shop_logs import ClickRates
from evaluation.words import words_of

FEATURES = (
    *(f"1 / rank in {source}" for source in SOURCES),
    "sources",
    "cosine with the video",
    "cosine with the cached queries",
    "highest cosine with a past query",
    "log clicks",
    "relative click rate",
    "words",
    "words in the text",
    "words in the summary",
    "cached queries",
    "new video",
)
"""Columns of a feature matrix."""
VIDEO_COSINE = FEATURES.index("cosine with the video")

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class CandidateRows:
    """The candidates of n examples, one row each.

    Attributes:
        owner: int64[m], the place of the example, ascending.
        queries: m normal forms.
        features: float32 [m, len(FEATURES)].
    """

    owner: npt.NDArray[np.int64]
    queries: Sequence[str]
    features: Matrix


class FeatureMaker:
    """Features as of one day. Vectors of queries are kept."""

    def __init__(self, embedder: TextEmbedder, clicks: Mapping[str, int], rates: ClickRates) -> None:
        """Keep what is known of queries.

        Args:
            embedder: of videos and queries.
            clicks: by normal form, on earlier days.
            rates: of earlier days.
        """
        self._embedder, self._clicks, self._rates = embedder, clicks, rates
        self._place: dict[str, int] = {}
        self._vectors: Matrix = np.zeros((0, embedder.dimension), np.float32)

    def rows(self, examples: Sequence[Example], candidates: Sequence[Candidates]) -> CandidateRows:
        """Return the feature rows of all candidates of all examples."""
        evidence = [example.evidence() for example in examples]
        videos = self._embedder.embed([video_text(item) for item in evidence])  # [n, d]
        self._remember([query for found in candidates for query in found.ranks])
        parts = []
        for place, (example, item, found) in enumerate(zip(examples, evidence, candidates, strict=True)):
            queries = list(found.ranks)
            if not queries:
                continue
            vectors = self._vectors[[self._place[query] for query in queries]]  # [m, d]
            ranks = np.array(list(found.ranks.values()), np.float32)  # [m, sources]
            text, summary = frozenset(words_of(item.text)), frozenset(words_of(item.summary))
            features = np.empty((len(queries), len(FEATURES)), np.float32)
            features[:, : len(SOURCES)] = np.divide(1, ranks, out=np.zeros_like(ranks), where=ranks > 0)
            features[:, len(SOURCES) :] = np.column_stack(
                [
                    (ranks > 0).sum(axis=1),
                    vectors @ videos[place],
                    vectors @ _mean(vectors[(ranks[:, :2] > 0).any(axis=1)]),
                    _highest(vectors, vectors[ranks[:, SOURCES.index("personal")] > 0]),
                    np.log1p([self._clicks.get(query, 0) for query in queries]),
                    [self._rates.of(query) for query in queries],
                    *_word_columns(queries, text, summary),
                    np.full(len(queries), len(example.histories) + len(example.anchors)),
                    np.full(len(queries), example.photo_new),
                ]
            )
            parts.append((place, queries, features))
        owner = np.repeat([place for place, _, _ in parts], [len(queries) for _, queries, _ in parts])
        joined = [features for _, _, features in parts] or [np.zeros((0, len(FEATURES)), np.float32)]
        return CandidateRows(
            owner.astype(np.int64), [query for _, queries, _ in parts for query in queries], np.concatenate(joined)
        )

    def _remember(self, queries: Sequence[str]) -> None:
        new = [query for query in dict.fromkeys(queries) if query not in self._place]
        if new:
            self._place |= {query: len(self._place) + number for number, query in enumerate(new)}
            self._vectors = np.concatenate([self._vectors, self._embedder.embed(new)])


def _mean(vectors: Matrix) -> Matrix:
    """Return float32 [d], zeros if there is no row."""
    mean: Matrix = vectors.mean(axis=0) if len(vectors) else np.zeros(vectors.shape[1], np.float32)
    return mean


def _highest(vectors: Matrix, others: Matrix) -> npt.NDArray[Any]:
    """Return [m], the highest cosine of each row with one of the others; 0 if there is none."""
    return (vectors @ others.T).max(axis=1) if len(others) else np.zeros(len(vectors), np.float32)


def _word_columns(queries: Sequence[str], text: frozenset[str], summary: frozenset[str]) -> list[list[float]]:
    """Return three columns: words, the share of them in the text, and in the summary."""
    words = [words_of(query) for query in queries]
    shares = [[sum(word in known for word in each) / max(len(each), 1) for each in words] for known in (text, summary)]
    return [[float(len(each)) for each in words], *shares]
