"""Wrong entities: shown queries that name a brand, a model or a product type that the video has nothing to do with.

Right are the brand, the model and the product type of the video's product, the brand of its rival, and the viewer's
favourite brand in that department. The truth of a simulated shop knows them; nothing else does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from demo.world.fields import FIELDS
from demo.world.truth import read_truth
from evaluation.bootstrap import estimate
from evaluation.entities import Model, Named, ShopWords
from evaluation.errors import InputError
from evaluation.inputs import Example

CLICKED = "clicked queries"
KINDS = ("brand", "model", "type", "unknown name")


@dataclass(frozen=True, slots=True)
class Right:
    """The entities that a query may name, in lower case: brands, the model, the nouns of the product type."""

    brands: frozenset[str]
    model: Model
    nouns: frozenset[str]

    @property
    def words(self) -> frozenset[str]:
        """Every word of them."""
        names = [self.model.series, self.model.suffix, *self.nouns]
        return self.brands | {word for name in names for word in name.split()}


class Shop:
    """A simulated shop: its vocabulary, and what is right for each video and viewer."""

    def __init__(self, truth: Path) -> None:
        """Read the truth of a world.

        Args:
            truth: the folder `truth` of `onebar world`.

        Raises:
            WorldError: the folder is not of a world (demo.errors).
        """
        self._path = truth
        self.truth = read_truth(truth.parent)
        self._words = ShopWords(self.truth.wording.catalogue.brand_names)

    def check(self, examples: Sequence[Example]) -> None:
        """Refuse examples of another world.

        Raises:
            InputError: the truth has no such video or viewer, or other fields of the video.
        """
        present, viewers = self.truth.present, len(self.truth.wording.users.tier)
        for example in examples:
            video, viewer = number_of(example.photo_id), number_of(example.user_id)
            texts = {**asdict(example.raw), "summary": example.summary}
            if (
                not 0 <= video < len(self.truth.created_day)
                or not 0 <= viewer < viewers
                or any(present[name][video] != (texts[name] is not None) for name in FIELDS)
            ):
                raise InputError(f"{self._path} is not the truth of these examples: {example.example_id} differs")

    def right(self, example: Example) -> Right:
        """Return the entities that are right for a video and its viewer."""
        catalogue, users = self.truth.wording.catalogue, self.truth.wording.users
        product = int(self.truth.triggers.product[number_of(example.photo_id)])
        kind = int(catalogue.product_type[product])
        favourite = users.brand[number_of(example.user_id), catalogue.type_department[kind]]
        brand, *others = (
            catalogue.brand_names[int(number)].lower()
            for number in (catalogue.product_brand[product], catalogue.product_rival[product], favourite)
        )
        series, _, suffix = catalogue.models[product].lower().partition(" ")
        nouns = frozenset({catalogue.types[kind].noun, catalogue.types[kind].other_noun})
        return Right(frozenset({brand, *others}), Model(brand, series, suffix), nouns)

    def has_unknown_word(self, query: str) -> bool:
        """Return whether a word of a query is no word of the shop."""
        return self._words.has_unknown_word(query)

    def wrong(self, query: str, right: Right) -> frozenset[str]:
        """Return the kinds (of `KINDS`) of the wrong entities that a query names."""
        return wrong_kinds(self._words.named(query, expected=right.words), right)


def wrong_kinds(named: Named, right: Right) -> frozenset[str]:
    """Return the kinds (of `KINDS`) of what is named and not right."""
    kinds = {
        "brand": not right.brands.issuperset(named.brands),
        "model": not all(_is_named(right.model, model) for model in named.models),
        "type": not right.nouns.issuperset(named.nouns),
        "unknown name": bool(named.unknown),
    }
    return frozenset(kind for kind, is_wrong in kinds.items() if is_wrong)


def entity_report(
    shop: Shop, examples: Sequence[Example], shown: Mapping[str, Sequence[Sequence[str]]]
) -> dict[str, Any]:
    """Return the rates of queries with a wrong entity.

    Args:
        shop: the simulated shop of the examples.
        examples: n clicks.
        shown: system to the queries that it shows for each example.

    Returns:
        For each system, and for the clicked queries themselves: `queries`, their number; `wrong`, the share with any
        wrong entity, with its interval; the share of each kind; `answered`, the share of examples with a query.
    """
    rights = [shop.right(example) for example in examples]
    photos = [example.photo_id for example in examples]
    lists = {CLICKED: [[example.target] for example in examples], **shown}
    return {name: _rates(shop, rights, photos, queries) for name, queries in lists.items()}


def _rates(
    shop: Shop, rights: Sequence[Right], photos: Sequence[str], lists: Sequence[Sequence[str]]
) -> dict[str, Any]:
    found, clusters = [], []
    for right, photo, queries in zip(rights, photos, lists, strict=True):
        found += [shop.wrong(query, right) for query in queries]
        clusters += [photo] * len(queries)
    return {
        "queries": len(found),
        "wrong": estimate(np.array([bool(kinds) for kinds in found], np.float64), clusters),
        **{kind: round(sum(kind in kinds for kinds in found) / max(len(found), 1), 4) for kind in KINDS},
        "answered": round(sum(map(bool, lists)) / len(lists), 4),
    }


def _is_named(right: Model, named: Model) -> bool:
    """Return whether a query that names a model may mean the right one."""
    return named.brand in ("", right.brand) and named.series == right.series and named.suffix in ("", right.suffix)


def number_of(name: str) -> int:
    """Return the number of a video or user of a simulated shop; -1 where the name has none."""
    digits = name[1:]
    return int(digits) if digits.isdigit() else -1
