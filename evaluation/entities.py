"""Finds the brands, models and product types that a query of a simulated shop names.

A query is read from left to right, and at each word the longest noun is taken: "baby monitor" is no monitor. Five rules
settle the rest:

- Nouns count before the first "for" only: "handbag for laptop" is a handbag.
- A noun inside a longer attribute ("fragrance free lipstick") does not count.
- A noun that is itself an attribute ("puzzle play mat") counts only if no other noun follows it.
- A model is a word of the series names and a suffix ("breeze 2", "breeze g3 pro"), or after a brand the series alone.
  Series that are also attributes ("drift", "velvet") need brand and suffix.
- A word that no query of the shop has is read as the word that is one typing error away. If there is none, it is an
  unknown name: a brand of another shop, or an invented one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from rapidfuzz import process
from rapidfuzz.distance import OSA

from demo.world.vocabulary import POLICY_CATEGORIES, departments, phrases, safety, words
from demo.world.wording import FORMS
from evaluation.metrics import normal_form
from evaluation.words import words_of

_USE = "for"
_GENERATION = re.compile(r"g\d+")

Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """A model as a query names it.

    Attributes:
        brand: the brand before it, "" if there is none.
        series: the first word of its name.
        suffix: the rest, "" if it is not named.
    """

    brand: str
    series: str
    suffix: str


@dataclass(frozen=True, slots=True)
class Named:
    """What a query names, in lower case: brands, models, nouns of product types, and words that no query has."""

    brands: tuple[str, ...]
    models: tuple[Model, ...]
    nouns: tuple[str, ...]
    unknown: tuple[str, ...]


class ShopWords:
    """The vocabulary of a simulated shop, and what its words name."""

    def __init__(self, brands: Iterable[str]) -> None:
        """Take over the brands of the shop; everything else is the vocabulary of all shops."""
        self._brands = frozenset(brand.lower() for brand in brands)
        self._series, self._suffixes = (frozenset(map(str.lower, words(name))) for name in ("series", "suffixes"))
        types = [kind for department in departments() for kind in department.types]
        self._nouns = frozenset(words_of(noun) for kind in types for noun in (kind.noun, kind.other_noun))
        self._attributes = frozenset(map(words_of, _attributes()))
        self._attribute_words = frozenset(word for entry in self._attributes for word in entry)
        noun_words = frozenset(word for noun in self._nouns for word in noun)
        other = frozenset(word for text in _other_phrases() for word in words_of(text))
        self._known = self._brands | self._series | self._suffixes | noun_words | self._attribute_words | other
        self._repairs = lru_cache(maxsize=1 << 16)(self._within_one_error)

    def named(self, query: str, expected: Collection[str] = ()) -> Named:
        """Return what a query names.

        Args:
            query: as shown or clicked.
            expected: words in lower case. A misspelled word that may be one of them is read as it.
        """
        read, unknown = self._spelled(words_of(normal_form(query)), expected)
        brands, models, nouns = [], [], []
        end = read.index(_USE) if _USE in read else len(read)
        place = 0
        while place < len(read):
            brand = read[place] if read[place] in self._brands else ""
            if brand:
                brands.append(brand)
                place += 1
            model = self._model_at(read, place, brand)
            if model is not None:
                models.append(model)
                place += 1 + len(model.suffix.split())
            elif not brand:
                size = _longest_at(read, place, self._nouns)
                if size and place < end and not self._is_in_attribute(read, place, size):
                    nouns.append(read[place : place + size])
                place += max(size, 1)
        heads = [noun for rank, noun in enumerate(nouns, 1) if rank == len(nouns) or noun not in self._attributes]
        return Named(tuple(brands), tuple(models), tuple(" ".join(noun) for noun in heads), tuple(unknown))

    def has_unknown_word(self, query: str) -> bool:
        """Return whether a word of a query is no word of the shop: misspelled, cut off, or invented."""
        return any(
            word not in self._known and not word.isdigit() and not _GENERATION.fullmatch(word)
            for word in words_of(normal_form(query))
        )

    def _spelled(self, given: Words, expected: Collection[str]) -> tuple[Words, list[str]]:
        """Return the words with typing errors corrected, and those that cannot be words of the shop."""
        read, unknown = [], []
        for word in given:
            if word in self._known or word.isdigit() or _GENERATION.fullmatch(word):
                read.append(word)
                continue
            near = self._repairs(word)
            read.append(next((known for known in near if known in expected), near[0] if near else word))
            if not near:
                unknown.append(word)
        return tuple(read), unknown

    def _within_one_error(self, word: str) -> tuple[str, ...]:
        """Return the known words one edit or swap away, in alphabetical order."""
        near = process.extract(word, self._known, scorer=OSA.distance, score_cutoff=1, limit=None)
        return tuple(sorted(known for known, _, _ in near))

    def _is_in_attribute(self, read: Words, place: int, size: int) -> bool:
        """Return whether the words from `place` are a part of a longer attribute."""
        starts = range(place + 1)
        ends = [start + _longest_at(read, start, self._attributes) for start in starts]
        return any(end >= place + size and end - start > size for start, end in zip(starts, ends, strict=True))

    def _model_at(self, read: Words, place: int, brand: str) -> Model | None:
        """Return the model that begins here, after `brand` if there is one."""
        if place >= len(read) or read[place] not in self._series:
            return None
        series, suffix = read[place], self._suffix_at(read, place + 1)
        if series in self._attribute_words and not (brand and suffix):
            return None
        return Model(brand, series, " ".join(suffix)) if brand or suffix else None

    def _suffix_at(self, read: Words, place: int) -> Words:
        """Return the suffix of a model that begins here, with the generation before it if there is one."""
        last = place + any(_GENERATION.fullmatch(word) is not None for word in read[place : place + 1])
        if last < len(read) and read[last] in self._suffixes and _longest_at(read, last, self._nouns) < 2:
            return read[place : last + 1]
        return ()


def _longest_at(read: Words, place: int, entries: Collection[Words]) -> int:
    """Return the number of words of the longest entry that begins at `place`, 0 for none."""
    sizes = range(len(read) - place, 0, -1)
    return next((size for size in sizes if read[place : place + size] in entries), 0)


def _attributes() -> Iterator[str]:
    """Yield what stands before or after the noun of a product type: features, uses, kinds, tastes, trends."""
    for department in departments():
        yield from (*department.kinds, *department.tastes)
        for kind in department.types:
            yield from (*kind.features, *kind.uses)
    yield from words("trends")


def _other_phrases() -> Iterator[str]:
    """Yield the rest of what queries are made of: the fixed words of forms, other intents, creators, unsafe terms."""
    yield from (" ".join(_fixed_words(form.pattern)) for form in FORMS)
    yield from (" ".join(_fixed_words(phrase)) for phrase in (*phrases("other_intents"), *safety("queries")))
    yield from (*words("first_names"), *words("last_names"))
    for category in POLICY_CATEGORIES:
        yield from safety(category)


def _fixed_words(pattern: str) -> Sequence[str]:
    return [part for part in pattern.split() if not part.startswith("{")]
