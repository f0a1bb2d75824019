"""A world of a million videos needs memory and steps in proportion to what it draws, not to what it already has."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from demo.world import fields, wording
from demo.world.catalogue import Catalogue, ModelNames, make_catalogue
from demo.world.fields import Fields, make_fields
from demo.world.ids import author_ids, impression_ids, named, photo_ids, search_ids, user_ids
from demo.world.registry import QueryRegistry
from demo.world.spec import WorldSpec
from demo.world.videos import Videos, make_trends, make_videos
from demo.world.vocabulary import words

SPEC = WorldSpec(seed=2, videos=2000, users=50, days=3, impressions_per_day=100)


Shop = tuple[Catalogue, Videos]


@pytest.fixture(scope="module")
def shop() -> Shop:
    rng = np.random.default_rng(SPEC.seed)
    catalogue = make_catalogue(SPEC, rng)
    return catalogue, make_videos(SPEC, catalogue, make_trends(SPEC, catalogue, rng), rng)


def write_texts(shop: Shop) -> Fields:
    return make_fields(SPEC, *shop, np.random.default_rng(0))


def traced_peak(work: Callable[[], object]) -> int:
    """Return the most bytes of Python objects and NumPy arrays that `work` holds at a time; Arrow's are not counted."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class TestTexts:
    def test_they_do_not_depend_on_how_many_are_written_at_once(self, shop, monkeypatch):
        whole = write_texts(shop)
        monkeypatch.setattr(fields, "_ROWS_AT_ONCE", 77)
        parts = write_texts(shop)
        for name in fields.FIELDS:
            assert parts.texts[name].equals(whole.texts[name])
            assert len(parts.texts[name]) == SPEC.videos
            np.testing.assert_array_equal(parts.masks[name], whole.masks[name])

    def test_only_some_of_them_are_python_strings_at_a_time(self, shop, monkeypatch):
        monkeypatch.setattr(fields, "_ROWS_AT_ONCE", 100)
        texts = write_texts(shop).texts
        strings = sum(sys.getsizeof(text) for column in texts.values() for text in column.to_pylist() if text)
        # A part of a twentieth, and the random numbers that decide what the texts name: float64[V, 8].
        assert traced_peak(lambda: write_texts(shop)) < strings / 4 + 2 * 64 * SPEC.videos


def test_habits_do_not_depend_on_how_many_are_drawn_at_once(monkeypatch):
    whole = wording.make_video_habits(50, np.random.default_rng(3))
    monkeypatch.setattr(wording, "_HABIT_ROWS", 7)
    np.testing.assert_array_equal(wording.make_video_habits(50, np.random.default_rng(3)), whole)
    assert whole.dtype == np.float32


class TestRegistry:
    def test_a_look_up_costs_as_much_as_its_ids(self):
        registry = QueryRegistry()
        numbers = range(100_000)
        ids = registry.add(map(str, numbers), (n % 30 for n in numbers), (n % 7 for n in numbers))
        few = ids[-3:]
        assert traced_peak(lambda: (registry.forms(few), registry.types(few))) < 10_000
        assert registry.forms(few).tolist() == [n % 30 for n in numbers[-3:]]
        assert registry.types(few).tolist() == [n % 7 for n in numbers[-3:]]
        assert registry.forms(few).dtype == registry.types(few).dtype == np.int32

    def test_it_grows_after_a_look_up(self):
        registry = QueryRegistry()
        before = registry.forms(registry.add(["a"], [1], [2]))
        registry.add(["b", "a"], [3, 9], [4, 9])
        assert before.tolist() == [1]
        assert registry.forms(np.array([0, 1], dtype=np.int32)).tolist() == [1, 3]


class TestModelNames:
    def test_a_brand_draws_each_name_a_bounded_number_of_times(self):
        class Counted:
            def __init__(self) -> None:
                self.draws, self._rng = 0, np.random.default_rng(1)

            def choice(self, options: np.ndarray) -> np.str_:
                self.draws += 1
                return self._rng.choice(options)

        rng, products = Counted(), 3000
        pairs = 2 * len(words("suffixes"))
        brand = ModelNames(np.array(["Aero", "Bolt"]))
        names = [brand.draw(rng) for _ in range(products)]
        assert len(set(names)) == products
        # Two draws for each name; the last free pairs take some more, about ln(pairs) for each pair.
        assert rng.draws <= 2 * (products + 8 * pairs)


class TestIds:
    def test_they_have_a_letter_and_leading_zeros(self):
        makers = (photo_ids, author_ids, user_ids, impression_ids, search_ids)
        assert [ids(np.array([42]))[0].as_py() for ids in makers] == [
            "p000042", "a00042", "u000042", "i00000042", "s00000042",
        ]  # fmt: skip

    def test_numbers_past_the_zeros_keep_all_digits(self):
        numbers = np.array([999_999, 1_000_000, 10_000_000])
        assert photo_ids(numbers).to_pylist() == ["p999999", "p1000000", "p10000000"]

    def test_a_negative_code_has_no_name(self):
        assert named(photo_ids(np.arange(3)), np.array([2, -1, 0])).to_pylist() == ["p000002", None, "p000000"]
