"""Every query of a world once, with its form and product type."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

OTHER_INTENT = -1
"""Form of a query that looks for no item."""
UNSAFE = -2
"""Form of a query for something that the rules prohibit."""


class QueryRegistry:
    """Assigns codes to query strings in the order of their first occurrence; a query keeps its first form and type."""

    def __init__(self) -> None:
        """Start without queries."""
        self._ids: dict[str, int] = {}
        self.texts: list[str] = []
        # NumPy reads these without a copy, so a look-up costs as much as the ids that it is for.
        self._forms, self._types = array("i"), array("i")

    def add(self, texts: Iterable[str], forms: Iterable[int], types: Iterable[int]) -> NDArray[np.int32]:
        """Return the codes of texts, int32[N]; new ones are registered with their form and product type."""
        out = []
        for text, form, kind in zip(texts, forms, types, strict=True):
            number = self._ids.get(text)
            if number is None:
                number = self._ids[text] = len(self.texts)
                self.texts.append(text)
                self._forms.append(form)
                self._types.append(kind)
            out.append(number)
        return np.array(out, dtype=np.int32)

    def forms(self, ids: NDArray[np.int32]) -> NDArray[np.int32]:
        """Form of each query; negative for `OTHER_INTENT` and `UNSAFE`."""
        return np.asarray(self._forms)[ids]

    def types(self, ids: NDArray[np.int32]) -> NDArray[np.int32]:
        """Product type of each query at its first occurrence."""
        return np.asarray(self._types)[ids]
