"""Predictors without a model. A bundle that is not better than they are is not worth its latency."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse  # type: ignore[import-untyped]
from sklearn.feature_extraction.text import TfidfVectorizer

from evaluation.inputs import Example, TitledQuery
from evaluation.metrics import CUTOFF, distinct, normal_form

NEIGHBOURS = 30
_ROWS_AT_ONCE = 512
_SEVERAL, _UNKNOWN = -1, -2  # in the place of the number of an item

KeyT = TypeVar("KeyT", str, tuple[str, str])


class MostPopular:
    """The same eight queries for every example: the most clicked ones of the training days."""

    def __init__(self, queries: Iterable[str]) -> None:
        """Count the clicked queries."""
        clicks: Counter[str] = Counter()
        wording: dict[str, str] = {}
        for query in queries:
            form = normal_form(query)
            clicks[form] += 1
            wording.setdefault(form, query)
        self._queries = [wording[form] for form, _ in clicks.most_common(CUTOFF)]

    def predict(self, examples: Sequence[Example]) -> list[list[str]]:
        """Return eight queries for each example."""
        return [self._queries for _ in examples]


_WORD = r"(?u)[\u4e00-\u9fff]|[^\W\u4e00-\u9fff]+"
"""A Chinese character, or a word of another script. Chinese has no spaces, so pairs of characters are its words."""


class TitleNeighbours:
    """Title-only retrieval: the queries of the 30 nearest training titles.

    Titles are TF-IDF vectors of words and pairs of words. A query scores the squared similarity of each neighbour,
    times its clicks there.
    """

    def __init__(self, pairs: Iterable[TitledQuery]) -> None:
        """Index the training titles and their clicked queries."""
        clicks: Counter[tuple[str, str, str]] = Counter()
        for pair in pairs:
            clicks[pair.title, pair.item, normal_form(pair.query)] += 1
        titles = _numbered(title for title, _, _ in clicks)
        entries = _numbered((title, item) for title, item, _ in clicks)
        queries = _numbered(query for _, _, query in clicks)
        self._items = _numbered(item for _, item in entries)
        self._queries = list(queries)
        self._vectorizer = TfidfVectorizer(ngram_range=(1, 2), token_pattern=_WORD)
        if not any(map(self._vectorizer.build_analyzer(), titles)):
            self._vectorizer.set_params(vocabulary=["(none)"])  # no title has a word, so none is ever near
        self._titles = self._vectorizer.fit_transform(titles).tocsr().astype(np.float32)  # [titles, features]

        rows, columns = zip(*((entries[title, item], queries[query]) for title, item, query in clicks), strict=True)
        self._clicks = sparse.csr_matrix(
            (np.array(list(clicks.values()), np.float32), (rows, columns)), shape=(len(entries), len(queries))
        )
        title_of = np.array([titles[title] for title, _ in entries])
        self._item_of = np.array([self._items[item] for _, item in entries])
        self._entries = sparse.csr_matrix(
            (np.ones(len(entries), np.float32), (title_of, np.arange(len(entries)))), shape=(len(titles), len(entries))
        )
        # The item of a title that has only one.
        self._sole_item = np.full(len(titles), _SEVERAL)
        self._sole_item[title_of] = self._item_of
        self._sole_item[np.bincount(title_of) > 1] = _SEVERAL

    def predict(self, examples: Sequence[Example]) -> list[list[str]]:
        """Return up to eight queries for each example, none where no word of the title is known."""
        return self.predict_titles([example.title for example in examples])

    def predict_titles(
        self, titles: Sequence[str], items: Sequence[str] | None = None, count: int = CUTOFF
    ) -> list[list[str]]:
        """Return queries for each title, best first.

        Args:
            titles: one for each answer.
            items: the item of each title; the training pairs of that item are left out for its answer.
            count: the most queries of an answer.
        """
        return [[query for query, _ in found] for found in self.scored_titles(titles, items, count)]

    def scored_titles(
        self, titles: Sequence[str], items: Sequence[str] | None = None, count: int = CUTOFF
    ) -> list[list[tuple[str, float]]]:
        """Return what `predict_titles` returns, each query with its score."""
        item_of_title: Sequence[str | None] = [None] * len(titles) if items is None else items
        wanted = list(zip(titles, item_of_title, strict=True))
        different = list(dict.fromkeys(wanted))
        answers: dict[tuple[str, str | None], list[tuple[str, float]]] = {}
        for start in range(0, len(different), _ROWS_AT_ONCE):
            part = different[start : start + _ROWS_AT_ONCE]
            own = np.array([_UNKNOWN if item is None else self._items.get(item, _UNKNOWN) for _, item in part])
            words = self._vectorizer.transform([title for title, _ in part]).astype(np.float32)
            similarity = _without((words @ self._titles.T).tocsr(), self._sole_item, own)  # [part, titles]
            weights = _without((_squared_nearest(similarity) @ self._entries).tocsr(), self._item_of, own)
            scores = (weights @ self._clicks).tocsr()  # [part, queries]
            for row, key in enumerate(part):
                span = slice(scores.indptr[row], scores.indptr[row + 1])
                places, values = scores.indices[span], scores.data[span]
                order = np.lexsort((places, -values))[:count]
                answers[key] = [(self._queries[places[place]], float(values[place])) for place in order]
        return [answers[key] for key in wanted]


def _numbered(values: Iterable[KeyT]) -> dict[KeyT, int]:
    """Return the place of each different value in sorted order."""
    return {value: place for place, value in enumerate(sorted(set(values)))}


def _without(
    scores: sparse.csr_matrix, item_of: npt.NDArray[np.int64], own: npt.NDArray[np.int64]
) -> sparse.csr_matrix:
    """Return scores [n, m] without the entries whose column has the item of the row."""
    scores.data[item_of[scores.indices] == np.repeat(own, np.diff(scores.indptr))] = 0
    scores.eliminate_zeros()
    return scores


def _squared_nearest(similarity: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return the NEIGHBOURS largest entries of each row, squared."""
    indptr, indices, data = [0], [], []
    for row in range(similarity.shape[0]):
        span = slice(similarity.indptr[row], similarity.indptr[row + 1])
        found, values = similarity.indices[span], similarity.data[span]
        if len(values) > NEIGHBOURS:
            # Sorting tens of thousands of candidates would take most of the time.
            near = values >= np.partition(values, -NEIGHBOURS)[-NEIGHBOURS]
            found, values = found[near], values[near]
            nearest = np.lexsort((found, -values))[:NEIGHBOURS]
            found, values = found[nearest], values[nearest]
        indices.append(found)
        data.append(values * values)
        indptr.append(indptr[-1] + len(found))
    return sparse.csr_matrix((np.concatenate(data), np.concatenate(indices), np.array(indptr)), shape=similarity.shape)


class CopyEvidence:
    """The cached queries, unchanged, histories first: retrieval without a generator."""

    def __init__(self, fields: Sequence[str] = ("histories", "anchors")) -> None:
        """Copy from these fields of the evidence, in this order."""
        self._fields = tuple(fields)

    def predict(self, examples: Sequence[Example]) -> list[list[str]]:
        """Return up to eight queries for each example, none where its evidence has none."""
        return [
            distinct(query for field in self._fields for query in getattr(example, field))[:CUTOFF]
            for example in examples
        ]
