"""A small world, written and drawn again."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.world.behaviour import World
from demo.world.build import build_world
from demo.world.draw import redraw_world
from demo.world.spec import WorldSpec
from evaluation.simulation.outcomes import Viewers
from evaluation.simulation.traffic import Traffic, draw_traffic

DAY = 2


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world")
    spec = WorldSpec(seed=1, videos=200, users=60, days=3, impressions_per_day=100, departments=("pets", "crafts"))
    build_world(out, spec)
    return out


@pytest.fixture(scope="session")
def world(folder: Path) -> World:
    return redraw_world(folder)[0]


@pytest.fixture(scope="session")
def viewers(world: World) -> Viewers:
    return Viewers(world)


@pytest.fixture(scope="session")
def traffic(world: World) -> Traffic:
    return draw_traffic(world, DAY, 400, (1, 2))
