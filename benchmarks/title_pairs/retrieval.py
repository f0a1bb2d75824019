"""Queries for an item by retrieval: three sources of candidates, and one score that is a weighted sum of their figures.

The sources, for the title of an item; the pairs of the item itself never count:
- the queries nearest to the title, by the embedder;
- the queries of the nearest titles, by the embedder;
- the queries of the nearest titles, by TF-IDF (`evaluation.baselines.TitleNeighbours`).

A candidate q has the figures of `FIGURES`. Its score is w . f(q). The weights maximise sum log softmax_q(w . f(q)) of
the right queries of some pairs that the embedder has not seen (a conditional logit).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize  # type: ignore[import-untyped]
from scipy.special import log_softmax  # type: ignore[import-untyped]

from evaluation.baselines import NEIGHBOURS, TitleNeighbours
from evaluation.inputs import TitledQuery
from evidence.embedding import embed as hashed

POOL = 64
"""The most candidates of each source."""
FIGURES = ("cosine", "popularity", "nearest_titles", "tfidf", "wording")
"""Cosine of title and query; log(1 + items of the query); log(share + .001) of the query in the scores of the nearest
titles, by the embedder and by TF-IDF; cosine of title and query by the hashed embedder, which compares wording."""
START = np.array([20.0, 1.0, 0.5, 0.5, 2.0])
"""Weights before any pair is seen: means of a Gaussian prior, whose standard deviations are as large."""

_POOL_POPULARITY = 0.02
_SHARE_OFFSET = 1e-3
_ROWS_AT_ONCE = 128
_PAIRS_AT_ONCE = 4096

Vectors = npt.NDArray[np.float32]
Weights = npt.NDArray[np.float64]


class TextEmbedder(Protocol):
    """What makes vectors: float32 [n, d], rows of length 1 or zero."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of titles."""

    def embed_queries(self, queries: Sequence[str]) -> Vectors:
        """Return the vectors of queries."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Candidates of n pairs.

    Attributes:
        queries: all queries of the store.
        places: int32 [n, most], places in `queries`; -1 fills a row.
        figures: float32 [n, most, len(FIGURES)].
    """

    queries: list[str]
    places: npt.NDArray[np.int32]
    figures: Vectors


class Retrieval:
    """The pairs of a store, ready to be asked for the queries of other items."""

    def __init__(self, store: Sequence[TitledQuery], embedder: TextEmbedder, tfidf: TitleNeighbours) -> None:
        """Embed the titles and the queries of a store; `tfidf` has the same pairs."""
        self._embedder, self._tfidf = embedder, tfidf
        self.queries = sorted({pair.query for pair in store})
        self._place = {query: number for number, query in enumerate(self.queries)}
        self._query_of = np.array([self._place[pair.query] for pair in store])
        self._items = np.bincount(self._query_of, minlength=len(self.queries))  # of each query
        self._pairs_of: dict[str, list[int]] = {}
        for number, pair in enumerate(store):
            self._pairs_of.setdefault(pair.item, []).append(number)
        self._query_vectors = embedder.embed_queries(self.queries)
        self._query_wording = hashed(self.queries)
        self._title_vectors = embedder.embed([pair.title for pair in store])  # [pairs, d]

    def candidates(self, pairs: Sequence[TitledQuery]) -> Candidates:
        """Return the candidates of each pair: up to 64 of each source, none of them from the pair's own item alone."""
        wanted = [(pair.title, pair.item) for pair in pairs]
        different = {key: number for number, key in enumerate(dict.fromkeys(wanted))}
        found: list[tuple[npt.NDArray[np.int32], Vectors]] = []
        keys = list(different)
        for start in range(0, len(keys), _ROWS_AT_ONCE):
            found += self._part(keys[start : start + _ROWS_AT_ONCE])
        most = max((len(places) for places, _ in found), default=0)
        places = np.full((len(found), most), -1, np.int32)
        figures = np.zeros((len(found), most, len(FIGURES)), np.float32)
        for row, (row_places, row_figures) in enumerate(found):
            places[row, : len(row_places)] = row_places
            figures[row, : len(row_places)] = row_figures
        rows = [different[key] for key in wanted]
        return Candidates(self.queries, places[rows], figures[rows])

    def in_parts(self, pairs: Sequence[TitledQuery]) -> Iterator[tuple[int, Candidates]]:
        """Yield the candidates of some thousand pairs at a time, with the place of the first of them."""
        for start in range(0, len(pairs), _PAIRS_AT_ONCE):
            yield start, self.candidates(pairs[start : start + _PAIRS_AT_ONCE])

    def _part(self, keys: list[tuple[str, str]]) -> list[tuple[npt.NDArray[np.int32], Vectors]]:
        titles, items = [title for title, _ in keys], [item for _, item in keys]
        vectors = self._embedder.embed(titles)
        to_queries, to_titles = vectors @ self._query_vectors.T, vectors @ self._title_vectors.T
        wording = hashed(titles) @ self._query_wording.T
        by_words = self._tfidf.scored_titles(titles, items, POOL)
        popularity = np.log1p(self._items)
        nearest = to_queries + _POOL_POPULARITY * popularity.astype(np.float32)
        found: list[tuple[npt.NDArray[np.int32], Vectors]] = []
        for row, item in enumerate(items):
            own = self._pairs_of.get(item, [])
            to_titles[row, own] = -np.inf
            neighbours = self._of_nearest_titles(to_titles[row])
            words = {self._place[query]: score for query, score in by_words[row]}
            places = np.array(sorted({*_greatest(nearest[row], POOL).tolist(), *neighbours, *words}), np.int32)
            others = self._items[places] - (self._query_of[own] == places[:, None]).sum(axis=1)
            places, others = places[others > 0], others[others > 0]
            shares = (_log_shares(scores, places) for scores in (neighbours, words))
            figures = (to_queries[row, places], np.log1p(others), *shares, wording[row, places])
            found.append((places, np.stack(figures, axis=1, dtype=np.float32)))
        return found

    def _of_nearest_titles(self, cosines: Vectors) -> dict[int, float]:
        """Return the places of queries, each with the sum of the squared cosines of its pairs among the nearest 30."""
        near = _greatest(cosines, NEIGHBOURS)
        queries, inverse = np.unique(self._query_of[near], return_inverse=True)
        scores = np.bincount(inverse, np.square(np.maximum(cosines[near], 0)), len(queries))
        return {int(query): float(score) for query, score in zip(queries, scores, strict=True) if score > 0}


def fit_weights(candidates: Candidates, targets: Sequence[str], figures: Sequence[str] = FIGURES) -> Weights:
    """Return float64 [len(FIGURES)], the weights that fit the targets best; those of other figures are 0.

    Args:
        candidates: of pairs whose targets the embedder has not seen with these titles.
        targets: the right query of each pair. A pair whose target is no candidate does not count.
        figures: names of the figures that are used.
    """
    used = np.array([name in figures for name in FIGURES])
    right = are_targets(candidates.places, candidates.queries, targets)
    kept = right.any(axis=1)
    values = candidates.figures[kept][:, :, used].astype(np.float64)
    right, empty = right[kept], candidates.places[kept] < 0
    wanted = values[right]  # [kept, figures]
    start = START[used]

    def loss(weights: Weights) -> tuple[float, Weights]:
        scores = np.where(empty, -np.inf, values @ weights)
        log_shares = log_softmax(scores, axis=1) if len(scores) else scores
        expected = np.einsum("nc,ncf->nf", np.exp(log_shares), values)
        prior = (weights - start) / start
        gradient = (expected - wanted).sum(axis=0) + prior / start
        return float(-log_shares[right].sum() + (prior**2).sum() / 2), gradient

    weights = np.zeros(len(FIGURES))
    weights[used] = minimize(loss, start, jac=True, method="L-BFGS-B").x
    return weights


def ranked_places(
    candidates: Candidates, weights: Weights, count: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the columns of up to `count` candidates of each pair, best first, and their scores; -inf fills a row."""
    scores = np.where(candidates.places < 0, -np.inf, candidates.figures @ weights)  # [n, most]
    order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    return order, np.take_along_axis(scores, order, axis=1)


def best_queries(candidates: Candidates, weights: Weights, count: int) -> list[list[str]]:
    """Return up to `count` candidates of each pair, best first."""
    order, _ = ranked_places(candidates, weights, count)
    return queries_at(candidates.places, candidates.queries, order)


def queries_at(places: npt.NDArray[np.int32], queries: Sequence[str], order: npt.NDArray[np.int64]) -> list[list[str]]:
    """Return the queries of each row of int32 [n, most] in the order of int64 [n, count]; -1 is no query."""
    chosen = np.take_along_axis(places, order, axis=1)
    return [[queries[place] for place in row if place >= 0] for row in chosen]


def are_targets(places: npt.NDArray[np.int32], queries: Sequence[str], targets: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Return bool [n, most], which candidate of each pair is its target."""
    place = {query: number for number, query in enumerate(queries)}
    found: npt.NDArray[np.bool_] = places == np.array([place.get(target, -2) for target in targets])[:, None]
    return found


def _greatest(scores: Vectors, count: int) -> npt.NDArray[np.int64]:
    """Return the places of the greatest scores, at most `count`, in any order."""
    return np.argpartition(-scores, count)[:count] if len(scores) > count else np.arange(len(scores))


def _log_shares(scores: dict[int, float], places: npt.NDArray[np.int32]) -> Vectors:
    total = sum(scores.values()) or 1.0
    shares = np.array([scores.get(int(place), 0.0) / total for place in places], np.float32)
    return np.asarray(np.log(shares + _SHARE_OFFSET), np.float32)
