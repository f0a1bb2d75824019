"""Traffic and click model: what viewers do with the bars of any system."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from demo.errors import WorldError
from demo.world.behaviour import ACTS, ENGAGED_EXACT, ENGAGED_OTHER, ORDERED, World, first_clicks
from demo.world.draw import redraw_world
from demo.world.policy import EXAMINED
from demo.world.wording import FORMS, GROUP_OF_FORM
from evaluation.simulation.arms import Bar
from evaluation.simulation.outcomes import Viewers
from evaluation.simulation.traffic import Traffic, draw_traffic
from tests.unit.evaluation.simulation.conftest import DAY


def everything(traffic: Traffic) -> np.ndarray:
    return np.ones(len(traffic), bool)


def with_intent_at(traffic: Traffic, place: int) -> list[Bar]:
    """Bars with the intent at one place, and texts without a meaning at the others."""
    return [Bar(tuple(intent if k == place else f"? {k}" for k in range(3)), 1.0) for intent in traffic.intent]


def test_a_world_of_another_version_is_not_played(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "truth").symlink_to(folder / "truth")
    assert redraw_world(tmp_path)[1].spec["seed"] == 1
    (tmp_path / "truth").unlink()
    (tmp_path / "truth").mkdir()
    for path in (folder / "truth").iterdir():
        (tmp_path / "truth" / path.name).write_bytes(path.read_bytes())
    about = json.loads((tmp_path / "truth" / "world.json").read_text())
    about["spec"]["seed"] = 2
    (tmp_path / "truth" / "world.json").write_text(json.dumps(about))
    with pytest.raises(WorldError, match="another version"):
        redraw_world(tmp_path)


def test_the_same_seed_gives_the_same_traffic_and_another_one_another(world: World, traffic: Traffic) -> None:
    again, other = draw_traffic(world, DAY, 400, (1, 2)), draw_traffic(world, DAY, 400, (1, 3))
    for field in fields(Traffic):
        assert np.array_equal(getattr(again, field.name), getattr(traffic, field.name))
    assert not np.array_equal(other.viewer, traffic.viewer)
    assert (world.videos.created_day[traffic.video] <= DAY).all()


def test_every_item_intent_means_its_own_type_and_form(viewers: Viewers, traffic: Traffic) -> None:
    items = [row for row, form in enumerate(traffic.form.tolist()) if form >= 0]
    assert len(items) > 300
    for row in items:
        kind, group = int(traffic.kind[row]), int(GROUP_OF_FORM[traffic.form[row]])
        assert viewers.meanings.is_near(traffic.intent[row], kind, group), traffic.intent[row]


def test_a_text_that_no_form_has_means_nothing(viewers: Viewers, world: World) -> None:
    noun = world.catalogue.types[0].noun
    known = next(form for form in FORMS if form.pattern == "{noun} price")
    group = int(GROUP_OF_FORM[FORMS.index(known)])
    assert viewers.meanings.is_near(f"{noun} price", 0, group)
    assert f"price {noun}" not in viewers.meanings
    assert not viewers.meanings.is_near(f"{noun} price", 1, group)


def test_the_intent_is_clicked_where_a_viewer_with_an_intent_looks(viewers: Viewers, traffic: Traffic) -> None:
    for place in range(3):
        outcomes = viewers.meet(traffic, with_intent_at(traffic, place), everything(traffic))
        acting = traffic.acts
        assert np.array_equal(outcomes.of("clicks")[acting] > 0, traffic.looks[acting, place])


def test_nothing_is_clicked_in_a_bar_that_is_not_shown(viewers: Viewers, traffic: Traffic) -> None:
    outcomes = viewers.meet(traffic, with_intent_at(traffic, 0), ~everything(traffic))
    assert outcomes.values[:, 1:].sum() == 0
    assert outcomes.of("impressions").sum() == len(traffic)


def test_utility_weighs_positions_by_the_chance_to_be_looked_at(viewers: Viewers, traffic: Traffic) -> None:
    items = traffic.form >= 0
    for place in range(3):
        utility = viewers.meet(traffic, with_intent_at(traffic, place), everything(traffic)).of("utility")
        assert utility[items] == pytest.approx(ACTS * ENGAGED_EXACT * EXAMINED[place])
        assert not utility[~items].any()


def test_expected_orders_follow_the_kind_of_click(viewers: Viewers, traffic: Traffic) -> None:
    outcomes = viewers.meet(traffic, with_intent_at(traffic, 0), everything(traffic))
    exact = (outcomes.of("clicks") > 0) & traffic.acts & (traffic.form >= 0)
    assert outcomes.of("expected_orders")[exact] == pytest.approx(ENGAGED_EXACT * ORDERED)
    curious = (outcomes.of("clicks") > 0) & ~traffic.acts & (traffic.form >= 0)
    assert outcomes.of("expected_orders")[curious] == pytest.approx(ENGAGED_OTHER * ORDERED)
    assert not outcomes.of("gmv")[outcomes.of("orders") == 0].any()


def test_a_near_miss_is_clicked_only_without_the_intent_in_sight() -> None:
    yes, no = np.ones((1, 2), bool), np.zeros((1, 2), bool)
    near_first, intent_second = np.array([[True, False]]), np.array([[False, True]])
    acts = np.array([True])
    assert first_clicks(yes, intent_second, near_first, acts, yes, no).tolist() == [1]
    assert first_clicks(near_first, intent_second, near_first, acts, yes, no).tolist() == [0]  # the second is not seen
    assert first_clicks(yes, no, near_first, acts, no, no).tolist() == [-1]  # not tempted
    assert first_clicks(yes, intent_second, near_first, ~acts, yes, no).tolist() == [-1]  # no intent
    assert first_clicks(yes, no, no, ~acts, no, intent_second).tolist() == [1]  # curious
