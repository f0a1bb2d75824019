"""Nearest vectors by inner product, with an index of FAISS that fits their number.

    flat     exact; up to 50,000 vectors
    hnsw     a graph; up to a million
    ivf_pq   compressed cells, more candidates than asked for, ranked again by exact products; over a million

Against the exact order, `recall` is measured on some triggers, so that a report can say what an index has cost.
"""

from __future__ import annotations

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
_PQ_DIMENSIONS = 8
"""Dimensions of a vector that one byte of its code stands for."""
_PROBED_CELLS = 64
_RANKED_AGAIN = 8
"""Candidates per neighbour that are read before they are ranked by exact products."""
_ROWS_AT_ONCE = 1024
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

    def __init__(self, vectors: Matrix, kind: str | None = None) -> None:
        """Build the index.

        Args:
            vectors: float32 [m, d], unit rows; kept, not copied.
            kind: of the index; chosen by the number of vectors when None.
        """
        self._vectors = np.ascontiguousarray(vectors)
        self.kind = kind or index_kind(len(vectors))
        self._index = _build(self._vectors, self.kind)

    def search(self, triggers: Matrix, width: int) -> Neighbours:
        """Return the nearest `width` vectors of each trigger, fewer if there are fewer.

        Args:
            triggers: float32 [n, d], unit rows.
            width: of each answer.
        """
        width = min(width, len(self._vectors))
        if width == 0 or len(triggers) == 0:
            return Neighbours(np.zeros((len(triggers), width), np.int64), np.zeros((len(triggers), width), np.float32))
        triggers = np.ascontiguousarray(triggers)
        if self.kind != IVF_PQ:
            similarity, places = self._index.search(triggers, width)
            return Neighbours(places, similarity)
        _, places = self._index.search(triggers, min(_RANKED_AGAIN * width, len(self._vectors)))
        return self._ranked(triggers, places, width)

    def recall(self, triggers: Matrix, width: int) -> float:
        """Return the mean share of the exact nearest `width` vectors that the index finds; 1 for a flat one."""
        if self.kind == FLAT or len(triggers) == 0:
            return 1.0
        found = self.search(triggers, width).places
        exact = NearestVectors(self._vectors, FLAT).search(triggers, width).places
        return float(np.mean([len(np.intersect1d(a, b)) / len(b) for a, b in zip(found, exact, strict=True)]))

    def figures(self, triggers: Matrix, width: int) -> IndexFigures:
        """Return the figures of the index, with its recall on the first triggers."""
        measured = self.recall(triggers[:_MEASURED_TRIGGERS], width)
        return {"kind": self.kind, "vectors": len(self._vectors), "recall": round(measured, 4)}

    def _ranked(self, triggers: Matrix, places: IntArray, width: int) -> Neighbours:
        """Return the best of the candidates by exact products."""
        exact = np.empty(places.shape, np.float32)
        for start in range(0, len(triggers), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            exact[part] = np.einsum("nd,nkd->nk", triggers[part], self._vectors[places[part]])
        exact[places < 0] = -np.inf
        order = np.argsort(-exact, axis=1, kind="stable")[:, :width]
        return Neighbours(np.take_along_axis(places, order, 1), np.take_along_axis(exact, order, 1))


def _build(vectors: Matrix, kind: str) -> Any:
    count, dimension = vectors.shape
    index: Any
    if kind == FLAT:
        index = faiss.IndexFlatIP(dimension)
    elif kind == HNSW:
        index = faiss.IndexHNSWFlat(dimension, _HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction, index.hnsw.efSearch = _HNSW_BUILD, _HNSW_SEARCH
    else:
        cells = max(1, min(round(4 * count**0.5), count // 39))  # FAISS wants 39 vectors a cell to train on
        codes = max(1, dimension // _PQ_DIMENSIONS)
        index = faiss.index_factory(dimension, f"IVF{cells},PQ{codes}", faiss.METRIC_INNER_PRODUCT)
        index.train(vectors)
        index.nprobe = min(_PROBED_CELLS, cells)
    index.add(vectors)
    return index
