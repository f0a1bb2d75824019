from __future__ import annotations

from pathlib import Path

import pytest

from tests.fixtures.tiny_bundle import build_tiny_checkpoint


@pytest.fixture(scope="session")
def checkpoint_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_checkpoint(tmp_path_factory.mktemp("model_export") / "checkpoint", seed=1)
