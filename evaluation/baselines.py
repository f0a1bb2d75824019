"""Predictors without a model. A bundle that is not better than they are is not worth its latency."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import scipy.sparse as sparse  # type: ignore[import-untyped]
from sklearn.feature_extraction.text import TfidfVectorizer

from evaluation.inputs import Example, TitledQuery
from evaluation.metrics import CUTOFF, distinct, normal_form

NEIGHBOURS = 30
_ROWS_AT_ONCE = 512


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


class TitleNeighbours:
    """Title-only retrieval: the queries of the 30 nearest training titles.

    Titles are TF-IDF vectors of words and pairs of words. A query scores the squared similarity of each neighbour,
    times its clicks there.
    """

    def __init__(self, pairs: Iterable[TitledQuery]) -> None:
        """Index the training titles and their clicked queries."""
        clicks: Counter[tuple[str, str]] = Counter()
        for pair in pairs:
            clicks[pair.title, normal_form(pair.query)] += 1
        titles = {title: row for row, title in enumerate(sorted({title for title, _ in clicks}))}
        queries = {query: column for column, query in enumerate(sorted({query for _, query in clicks}))}
        self._queries = list(queries)
        self._vectorizer = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b")
        self._titles = self._vectorizer.fit_transform(titles).tocsr().astype(np.float32)  # [titles, features]
        rows, columns = zip(*((titles[title], queries[query]) for title, query in clicks), strict=True)
        self._clicks = sparse.csr_matrix(
            (np.array(list(clicks.values()), np.float32), (rows, columns)), shape=(len(titles), len(queries))
        )

    def predict(self, examples: Sequence[Example]) -> list[list[str]]:
        """Return up to eight queries for each example, none where no word of the title is known."""
        return self.predict_titles([example.title for example in examples])

    def predict_titles(self, titles: Sequence[str]) -> list[list[str]]:
        """Return up to eight queries for each title."""
        distinct_titles = list(dict.fromkeys(titles))
        answers: dict[str, list[str]] = {}
        for start in range(0, len(distinct_titles), _ROWS_AT_ONCE):
            part = distinct_titles[start : start + _ROWS_AT_ONCE]
            similarity = (self._vectorizer.transform(part).astype(np.float32) @ self._titles.T).tocsr()
            scores = (_squared_nearest(similarity) @ self._clicks).tocsr()  # [part, queries]
            for row, title in enumerate(part):
                span = slice(scores.indptr[row], scores.indptr[row + 1])
                order = np.lexsort((scores.indices[span], -scores.data[span]))[:CUTOFF]
                answers[title] = [self._queries[scores.indices[span][place]] for place in order]
        return [answers[title] for title in titles]


def _squared_nearest(similarity: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return the NEIGHBOURS largest entries of each row, squared."""
    indptr, indices, data = [0], [], []
    for row in range(similarity.shape[0]):
        span = slice(similarity.indptr[row], similarity.indptr[row + 1])
        found, values = similarity.indices[span], similarity.data[span]
        if len(values) > NEIGHBOURS:
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
