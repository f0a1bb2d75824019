"""Nearest vectors by inner product, with an index of FAISS that fits their number.

    flat     exact; up to 50,000 vectors
    hnsw     a graph; up to a million
    ivf_pq   compressed cells, more candidates than asked for, ranked again by exact products; over a million

Against the exact order, `recall` is measured on some triggers, so that a report can say what an index has cost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np

from offline.arrays import IntArray, Matrix

IndexFigures = dict[str, int | float | str]
"""Kind, number of vectors and recall of an index."""

FLAT, HNSW, IVF_PQ = "flat", "hnsw", "ivf_pq"
FLAT_UNTIL, HNSW_UNTIL = 50_000, 1_000_000

_HNSW_LINKS, _HNSW_BUILD, _HNSW_SEARCH = 32, 100, 128
_PROBED_CELLS = 64
_RANKED_AGAIN = 8
"""Candidates per neighbour that are read before they are ranked by exact products."""
_MOST_CELLS = 4096
_TRAINING_PER_CELL = 64
"""Vectors for each cell that an index is trained on: training on all would take hours for five million."""
_ROWS_AT_ONCE = 1 << 16
_MEASURED_TRIGGERS = 200


def index_kind(count: int) -> str:
    """Return the kind of index for a number of vectors."""
    return FLAT if count <= FLAT_UNTIL else HNSW if count <= HNSW_UNTIL else IVF_PQ


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The nearest vectors of n triggers, nearest first.

    Attributes:
        places: int64 [n, width], rows of the indexed vectors; -1 where fewer were found.
        similarity: float32 [n, width], exact inner products.
    """

    places: IntArray
    similarity: Matrix


class NearestVectors:
    """An index of vectors."""

    def __init__(self, vectors: Matrix, rows: IntArray | None = None, kind: str | None = None) -> None:
        """Build the index.

        Args:
            vectors: float32 [m, d], unit rows; kept, not copied.
            rows: int64 [k], the rows that are indexed; all when None.
            kind: of the index; chosen by the number of rows when None.
        """
        self._vectors = np.ascontiguousarray(vectors)
        self._rows: IntArray = np.arange(len(vectors)) if rows is None else rows
        self.kind = kind or index_kind(len(self._rows))
        self._index = self._build()

    def search(self, triggers: Matrix, width: int) -> Neighbours:
        """Return the nearest `width` vectors of each trigger, fewer if there are fewer.

        Args:
            triggers: float32 [n, d], unit rows.
            width: of each answer.
        """
        width = min(width, len(self._rows))
        if width == 0 or len(triggers) == 0:
            return Neighbours(np.zeros((len(triggers), width), np.int64), np.zeros((len(triggers), width), np.float32))
        triggers = np.ascontiguousarray(triggers)
        if self.kind != IVF_PQ:
            similarity, places = self._index.search(triggers, width)
            return Neighbours(places, similarity)
        _, places = self._index.search(triggers, min(_RANKED_AGAIN * width, len(self._rows)))
        return self._ranked(triggers, places, width)

    def recall(self, triggers: Matrix, width: int) -> float:
        """Return the mean share of the exact nearest `width` vectors that the index finds; 1 for a flat one."""
        if self.kind == FLAT or len(triggers) == 0:
            return 1.0
        found, exact = self.search(triggers, width).places, self._exact(triggers, width)
        return float(np.mean([len(np.intersect1d(a, b)) / len(b) for a, b in zip(found, exact, strict=True)]))

    def figures(self, triggers: Matrix, width: int) -> IndexFigures:
        """Return the figures of the index, with its recall on the first triggers."""
        measured = self.recall(triggers[:_MEASURED_TRIGGERS], width)
        return {"kind": self.kind, "vectors": len(self._rows), "recall": round(measured, 4)}

    def _exact(self, triggers: Matrix, width: int) -> IntArray:
        """Return int64 [n, width], the places of the nearest vectors in any order, without another index."""
        places = np.zeros((len(triggers), 0), np.int64)
        similarity = np.zeros((len(triggers), 0), np.float32)
        for start, vectors in self._parts():
            products = np.hstack([similarity, triggers @ vectors.T])
            numbers = np.broadcast_to(np.arange(start, start + len(vectors)), (len(triggers), len(vectors)))
            best = np.argsort(-products, axis=1, kind="stable")[:, :width]
            similarity = np.take_along_axis(products, best, 1)
            places = np.take_along_axis(np.hstack([places, numbers]), best, 1)
        return places

    def _ranked(self, triggers: Matrix, places: IntArray, width: int) -> Neighbours:
        """Return the best of the candidates by exact products."""
        exact = np.empty(places.shape, np.float32)
        rows = np.where(places >= 0, self._rows[places], -1)
        # This reads the rows where they are; NumPy would copy them first, which takes ten times as long.
        faiss.fvec_inner_products_by_idx(  # type: ignore[attr-defined]  # made by faiss from C++
            *map(faiss.swig_ptr, (exact, triggers, self._vectors, rows)), triggers.shape[1], *places.shape
        )
        exact[places < 0] = -np.inf
        order = np.argsort(-exact, axis=1, kind="stable")[:, :width]
        return Neighbours(np.take_along_axis(places, order, 1), np.take_along_axis(exact, order, 1))

    def _build(self) -> Any:
        count, dimension = len(self._rows), self._vectors.shape[1]
        index: Any
        if self.kind == FLAT:
            index = faiss.IndexFlatIP(dimension)
            index.add(self._vectors[self._rows])
        elif self.kind == HNSW:
            index = faiss.IndexHNSWFlat(dimension, _HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
            index.hnsw.efConstruction, index.hnsw.efSearch = _HNSW_BUILD, _HNSW_SEARCH
            index.add(self._vectors[self._rows])
        else:
            cells = max(1, min(round(4 * count**0.5), _MOST_CELLS, count // 39))  # FAISS wants 39 a cell to train on
            codes = next(parts for parts in range(max(dimension // 2, 1), 0, -1) if dimension % parts == 0)
            index = faiss.index_factory(dimension, f"IVF{cells},PQ{codes}x4fs", faiss.METRIC_INNER_PRODUCT)
            every = max(1, count // (_TRAINING_PER_CELL * cells))
            index.train(self._vectors[self._rows[::every]])
            index.nprobe = min(_PROBED_CELLS, cells)
            for _, vectors in self._parts():
                index.add(vectors)
        return index

    def _parts(self) -> Iterator[tuple[int, Matrix]]:
        """Return the indexed vectors in parts, each with its first place."""
        for start in range(0, len(self._rows), _ROWS_AT_ONCE):
            yield start, self._vectors[self._rows[start : start + _ROWS_AT_ONCE]]
