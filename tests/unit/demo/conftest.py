"""One small world for all tests of its properties: about a second to make."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.world.build import build_world
from demo.world.spec import WorldSpec

SMALL = WorldSpec(seed=11, videos=3000, users=900, days=6, impressions_per_day=5000)


@pytest.fixture(scope="session")
def small_spec() -> WorldSpec:
    return SMALL


@pytest.fixture(scope="session")
def world_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world")
    build_world(out, SMALL)
    return out
