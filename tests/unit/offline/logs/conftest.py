"""The busy shop with bad rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from offline.logs.engine import Engine, open_engine
from offline.logs.intake import Intake, read_logs
from offline.logs.schema import TABLES
from offline.logs.tables import read_table
from tests.fixtures.poisoned_logs import LENIENT, Row, write_poisoned


@pytest.fixture(scope="session")
def engine() -> Engine:
    return open_engine()


@pytest.fixture(scope="session")
def clean(busy_dataset: Path) -> dict[str, list[Row]]:
    """The rows of the busy shop, with some search clicks."""
    rows = {name: read_table(busy_dataset, name).to_pylist() for name in TABLES}
    rows["search_clicks"] = [
        {"search_id": row["search_id"], "day": row["day"], "query": row["query"], "photo_id": "p1"}
        for row in rows["searches"][:40]
    ]
    return rows


@dataclass(frozen=True)
class Poisoned:
    """The busy shop with bad rows.

    Attributes:
        folder: the dataset.
        faults: by table, the number of bad rows by fault.
        intake: what was read of it without a limit.
    """

    folder: Path
    faults: dict[str, dict[str, int]]
    intake: Intake


@pytest.fixture(scope="session")
def poisoned(tmp_path_factory: pytest.TempPathFactory, clean: dict[str, list[Row]], engine: Engine) -> Poisoned:
    """The busy shop and, for each fault, one bad row for every ten sound ones."""
    folder = tmp_path_factory.mktemp("poisoned")
    faults = write_poisoned(folder, clean)
    return Poisoned(folder, faults, read_logs(folder, engine, LENIENT))
