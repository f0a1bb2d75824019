from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from generation.bundle import load_bundle
from generation.scheduler import Scheduler
from tests.fixtures.tiny_bundle import build_tiny_bundle
from tests.unit.generation.gate import Gate


@pytest.fixture(scope="session")
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_bundle(tmp_path_factory.mktemp("generation") / "bundle", seed=1)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate(monkeypatch)
    yield gate
    gate.open()


@pytest.fixture
def scheduler(gate: Gate, bundle_path: Path) -> Iterator[Scheduler]:
    """A scheduler with room for three requests of four beams."""
    scheduler = Scheduler(load_bundle(bundle_path), row_budget=12)
    yield scheduler
    gate.open()
    scheduler.close()
