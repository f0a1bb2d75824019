"""Bad cases by rule, on queries about the videos of a small world."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from demo.world.behaviour import World
from demo.world.ids import photo_ids, user_ids
from evaluation.grounding import Shop
from evaluation.inputs import Example
from evaluation.simulation.arms import Bar
from evaluation.simulation.bad_cases import KINDS, BadCaseRules, BadCases, bad_case_report
from evaluation.simulation.outcomes import Viewers
from evidence.schema import RawText

Find = Callable[[int, str], set[str]]


@pytest.fixture(scope="module")
def rules(folder: Path, world: World, viewers: Viewers) -> BadCaseRules:
    return BadCaseRules(Shop(folder / "truth"), viewers.meanings, world.videos.unsafe.term >= 0)


def example_of(video: int) -> Example:
    [photo], [viewer] = photo_ids(np.array([video])).to_pylist(), user_ids(np.array([0])).to_pylist()
    return Example("e", photo, viewer, "bar", "", RawText(), None, (), (), (), photo_new=False)


@pytest.fixture(scope="module")
def kinds(rules: BadCaseRules) -> Find:
    """Return the kinds of bad cases that one query on one video is."""

    def find(video: int, query: str) -> set[str]:
        shown = np.array([True])
        counts = rules.find([example_of(video)], np.array([video]), [Bar((query,), 1.0)], shown).counts[0]
        assert counts[0] == 1
        found = {kind for kind, count in zip(KINDS, counts[1:].tolist(), strict=True) if count}
        assert ("any" in found) == bool(found)
        return found - {"any"}

    return find


@pytest.fixture(scope="module")
def video(world: World) -> int:
    """A safe video."""
    return int(np.flatnonzero(world.videos.unsafe.term < 0)[0])


@pytest.fixture(scope="module")
def names(world: World, video: int) -> dict[str, str]:
    """Its brand and noun, and a noun of another type."""
    catalogue = world.catalogue
    product = int(world.videos.triggers.product[video])
    kind = int(catalogue.product_type[product])
    return {
        "brand": catalogue.brand_names[int(catalogue.product_brand[product])].lower(),
        "noun": catalogue.types[kind].noun,
        "other": catalogue.types[(kind + 1) % len(catalogue.types)].noun,
    }


def test_a_good_query_is_none(kinds: Find, video: int, names: dict[str, str]) -> None:
    assert kinds(video, f"{names['brand']} {names['noun']} price") == set()


def test_another_product_type_is_irrelevant(kinds: Find, video: int, names: dict[str, str]) -> None:
    assert kinds(video, f"{names['other']} price") == {"irrelevant"}


@pytest.mark.parametrize("query", ["{noun} for", "{noun} under", "vs {noun}", "{noun} {noun}", "{brand} xqzzk {noun}"])
def test_what_is_cut_repeated_or_no_word_is_a_literal_fault(
    kinds: Find, video: int, names: dict[str, str], query: str
) -> None:
    assert "literal" in kinds(video, query.format(**names))


def test_a_query_with_an_unsafe_term_is_a_risk(kinds: Find, video: int, names: dict[str, str]) -> None:
    assert "risk" in kinds(video, f"{names['noun']} stun gun")


def test_every_query_on_an_unsafe_video_is_a_risk(kinds: Find, world: World, names: dict[str, str]) -> None:
    unsafe = int(np.flatnonzero(world.videos.unsafe.term >= 0)[0])
    assert "risk" in kinds(unsafe, f"{names['noun']} price")


def test_rates_are_shares_of_the_shown_queries(rules: BadCaseRules, video: int, names: dict[str, str]) -> None:
    good, bad = f"{names['noun']} price", f"{names['noun']} for"
    videos, shown = np.full(2, video), np.array([True, False])
    examples = [example_of(video)] * 2
    control, treatment = (
        rules.find(examples, videos, [Bar(queries, 1.0)] * 2, shown) for queries in ((good, bad), (good,))
    )
    report = bad_case_report(control, treatment, videos)
    assert (report["control_queries"], report["treatment_queries"]) == (2, 1)
    assert report["kinds"]["literal"] == {"control": 0.5, "treatment": 0, "points": -50, "interval": [-50, -50]}
    assert report["both_impressions"] == 1
    assert report["kinds_both"]["literal"] == report["kinds"]["literal"]
    assert report["examples"]["control"]["literal"] == [[examples[0].photo_id, bad]]


def test_impressions_where_both_show_a_bar_are_compared_apart(
    rules: BadCaseRules, video: int, names: dict[str, str]
) -> None:
    good, bad = Bar((f"{names['noun']} price",), 1.0), Bar((f"{names['noun']} for",), 1.0)
    examples, videos = [example_of(video)] * 2, np.full(2, video)
    control = rules.find(examples, videos, [good, good], np.array([True, False]))
    treatment = rules.find(examples, videos, [good, bad], np.array([True, True]))
    report = bad_case_report(control, treatment, videos)
    assert report["kinds"]["literal"]["treatment"] == 0.5
    assert report["both_impressions"] == 1
    assert report["kinds_both"]["literal"]["treatment"] == 0


def test_viewers_of_one_video_do_not_narrow_the_interval() -> None:
    """One of two videos has bad bars only: a resample of two videos has none, half or all of them bad."""
    videos = np.repeat([0, 1], 500)  # each impression by a viewer of its own
    bad = np.column_stack([np.ones(1000), *[videos == 1] * len(KINDS)]).astype(np.float64)
    good = np.column_stack([np.ones(1000), *[np.zeros(1000)] * len(KINDS)])
    report = bad_case_report(BadCases(good, {}), BadCases(bad, {}), videos)
    for part in ("kinds", "kinds_both"):
        assert report[part]["any"] == {"control": 0, "treatment": 0.5, "points": 50, "interval": [0, 100]}
