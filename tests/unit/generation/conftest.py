from __future__ import annotations

from pathlib import Path

import pytest

from tests.fixtures.tiny_bundle import build_tiny_bundle


@pytest.fixture(scope="session")
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_bundle(tmp_path_factory.mktemp("generation") / "bundle", seed=1)
