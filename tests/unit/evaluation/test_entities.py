"""What a query of a simulated shop names."""

from __future__ import annotations

import pytest

from demo.world.vocabulary import departments, words
from evaluation.entities import Model, Named, ShopWords

SHOP = ShopWords(["Ryoeltech", "Tammo"])


def names(query: str, **entities: tuple[object, ...]) -> None:
    found = SHOP.named(query)
    empty = {"brands": (), "models": (), "nouns": (), "unknown": ()}
    assert found == Named(**{**empty, **entities}), query  # type: ignore[arg-type]


def test_a_brand_a_model_and_a_type_are_found_in_any_case() -> None:
    names("Tammo Breeze 2 Air Fryer", brands=("tammo",), models=(Model("tammo", "breeze", "2"),), nouns=("air fryer",))
    names("tammo air fryer under 50", brands=("tammo",), nouns=("air fryer",))
    names("tammo breeze 2 vs ryoeltech", brands=("tammo", "ryoeltech"), models=(Model("tammo", "breeze", "2"),))
    names("tammo breeze g3 pro price", brands=("tammo",), models=(Model("tammo", "breeze", "g3 pro"),))
    names("breeze 2 review", models=(Model("", "breeze", "2"),))


@pytest.mark.parametrize(
    ("query", "noun"),
    [
        ("baby monitor price", "baby monitor"),
        ("monitor light", "monitor light"),
        ("best curved monitor", "monitor"),
        ("pop up tent", "tent"),
        ("waterproof camping tent", "camping tent"),
        ("fragrance free lipstick", "lipstick"),
        ("puzzle play mat", "play mat"),
        ("wooden puzzle", "puzzle"),
        ("wireless charging stand", "charging stand"),
        ("handbag for laptop", "handbag"),
        ("robot vacuum for carpet", "robot vacuum"),
        ("laptop stand", "laptop stand"),
    ],
)
def test_the_longest_entry_is_taken_and_uses_and_attributes_are_no_types(query: str, noun: str) -> None:
    names(query, nouns=(noun,))


def test_two_types_before_for_are_both_named() -> None:
    names("air fryer drone", nouns=("air fryer", "drone"))


def test_a_series_that_is_also_an_attribute_is_a_model_only_with_brand_and_suffix() -> None:
    names("velvet curtains", nouns=("curtains",))
    names("drift mini rc car", nouns=("rc car",))
    names("tammo velvet curtains", brands=("tammo",), nouns=("curtains",))
    names("tammo velvet 9", brands=("tammo",), models=(Model("tammo", "velvet", "9"),))


def test_after_a_brand_the_series_alone_is_a_model() -> None:
    names("tammo breeze review", brands=("tammo",), models=(Model("tammo", "breeze", ""),))
    names("breeze review")
    names("tammo breeze air fryer", brands=("tammo",), models=(Model("tammo", "breeze", ""),), nouns=("air fryer",))
    names("tammo breeze air price", brands=("tammo",), models=(Model("tammo", "breeze", "air"),))


def test_a_typing_error_is_read_as_the_word_that_was_meant() -> None:
    names("ryoeltehc air fyrer", brands=("ryoeltech",), nouns=("air fryer",))
    names("dress shirt fro wedding", nouns=("dress shirt",))
    assert ShopWords(["Norvex", "Torvex"]).named("vorvex tent").brands == ("norvex",)
    assert ShopWords(["Norvex", "Torvex"]).named("vorvex tent", expected={"torvex"}).brands == ("torvex",)


def test_a_word_of_no_query_is_an_unknown_name() -> None:
    names("quinelux air fryer under 80", nouns=("air fryer",), unknown=("quinelux",))


def test_queries_about_something_else_name_nothing() -> None:
    for query in ("what song is this", "who is anya frost", "how to edit videos like this"):
        names(query)


def test_every_noun_and_model_of_the_vocabulary_is_found_alone_and_with_every_attribute() -> None:
    series, suffixes = words("series"), words("suffixes")
    for department in departments():
        for kind in department.types:
            for noun in (kind.noun, kind.other_noun):
                for attribute in ("", *kind.features, *department.kinds, *department.tastes, *words("trends")):
                    names(f"{attribute} {noun} price", nouns=(noun,))
                for use in kind.uses:
                    names(f"tammo {noun} for {use}", brands=("tammo",), nouns=(noun,))
    for first in series:
        for second in suffixes:
            model = Model("tammo", first.lower(), second.lower())
            names(f"tammo {first} {second} review", brands=("tammo",), models=(model,))
