"""What a query means to the viewers of a simulated shop: its product types and groups of form.

The click model of the world knows this for queries of its own. A generator may write any text, so everything that the
wording of the shop can produce is listed once. A text outside the list means nothing to a viewer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import numpy as np

from demo.world.catalogue import Catalogue
from demo.world.vocabulary import words
from demo.world.wording import FORMS, GROUP_OF_FORM, GROUPS

_SLOT = "{"


class QueryMeanings:
    """Every item query that the wording of a shop can produce."""

    def __init__(self, catalogue: Catalogue) -> None:
        """List the queries of every product type."""
        self._meanings: dict[str, tuple[int, ...]] = {}
        products_of: list[list[int]] = [[] for _ in catalogue.types]
        for number, kind in enumerate(catalogue.product_type.tolist()):
            products_of[kind].append(number)
        for kind in range(len(catalogue.types)):
            values = _values_of_type(catalogue, kind)
            of_products = [_values_of_product(catalogue, number) for number in products_of[kind]]
            for form, group in zip(FORMS, GROUP_OF_FORM.tolist(), strict=True):
                code = kind * len(GROUPS) + group
                names_model = "{model}" in form.pattern
                for filling in ({**values, **own} for own in of_products) if names_model else (values,):
                    for text in _filled(form.pattern, filling):
                        self._add(text, code)

    def __len__(self) -> int:
        """Return the number of distinct queries."""
        return len(self._meanings)

    def __contains__(self, query: str) -> bool:
        """Whether the wording of the shop can produce a query."""
        return query in self._meanings

    def is_near(self, query: str, kind: int, group: int) -> bool:
        """Return whether a query has a product type and a group of form, both as numbers; by any of its readings."""
        return kind * len(GROUPS) + group in self._meanings.get(query, ())

    def _add(self, text: str, code: int) -> None:
        known = self._meanings.get(text, ())
        if code not in known:
            self._meanings[text] = (*known, code)


def _values_of_type(catalogue: Catalogue, kind: int) -> dict[str, Sequence[str]]:
    """Return the words that can stand in each slot for a product type."""
    what = catalogue.types[kind]
    number = int(catalogue.type_department[kind])
    department = catalogue.departments[number]
    brands = [catalogue.brand_names[brand].lower() for brand in catalogue.department_brands[number].tolist()]
    return {
        "noun": (what.noun, what.other_noun),
        "feat": (*what.features, *words("trends")),
        "feat2": what.features,
        "kind": department.kinds,
        "use": what.uses,
        "brand": brands,
        "own_brand": brands,
        "points": [str(points) for points in np.unique(catalogue.price_points[kind]).tolist()],
        "taste": department.tastes,
        **{f"use_{place}": what.uses for place in range(3)},
        **{f"kind_{place}": department.kinds for place in range(3)},
    }


def _values_of_product(catalogue: Catalogue, number: int) -> dict[str, Sequence[str]]:
    """Return the words of one product, which forms with a model name together."""
    brand, rival = (
        catalogue.brand_names[int(brands[number])].lower()
        for brands in (catalogue.product_brand, catalogue.product_rival)
    )
    return {
        "brand": [brand],
        "rival": [rival],
        "model": [catalogue.models[number].lower()],
        "kind": [catalogue.kinds[number]],
    }


def _filled(pattern: str, values: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield a pattern with every combination of words in its slots."""
    parts = [values[part[1:-1]] if part.startswith(_SLOT) else (part,) for part in pattern.split(" ")]
    return map(" ".join, product(*parts))
