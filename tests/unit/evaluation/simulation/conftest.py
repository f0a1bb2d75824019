"""A small world, written and drawn again."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from demo.world.behaviour import World
from demo.world.build import build_world
from demo.world.draw import redraw_world
from demo.world.spec import WorldSpec
from evaluation.simulation.outcomes import Viewers
from evaluation.simulation.traffic import Traffic, draw_traffic
from offline.evidence.embedded_logs import embed_logs
from offline.evidence.store_rows import evidence_table, user_table, write_rows

DAY = 2
VIDEOS, USERS = f"evidence-{DAY}.parquet", f"users-{DAY}.parquet"

Tables = dict[str, pa.Table]


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


@pytest.fixture(scope="session")
def tables(folder: Path) -> Tables:
    """By file name, what `onebar offline evidence` and `onebar offline users` write without --embedder."""
    embedded = embed_logs(folder)
    return {VIDEOS: evidence_table(embedded, DAY), USERS: user_table(embedded, DAY)}


def written(tables: Tables, folder: Path) -> Path:
    """Write the files of a day, and return their folder."""
    for name, table in tables.items():
        write_rows(table, folder / name)
    return folder
