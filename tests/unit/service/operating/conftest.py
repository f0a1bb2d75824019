"""Two bundles, a service that follows their promotions, and requests to it."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from benchmarks.bundle_variants import bundle_variant
from service.settings import Settings
from tests.fixtures.serving import settings_for

CAPTIONS = ("red running shoes", "camera", "winter coat for women, cheap and long", "tent")


@pytest.fixture(scope="module")
def bundles(bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two bundles that never abstain, of two versions."""
    folder = tmp_path_factory.mktemp("swap")
    return [bundle_variant(bundle_path, folder / str(n), {"reject": {"threshold": 1 - n / 1000}}) for n in range(2)]


@pytest.fixture
def versions(bundles: list[Path]) -> list[str]:
    return [json.loads((bundle / "manifest.json").read_text())["model_version"] for bundle in bundles]


@pytest.fixture
def settings(bundles: list[Path], tmp_path: Path) -> Settings:
    return settings_for(bundles[0], promotion={"folder": tmp_path / "promoted", "golden_share": 0})


@pytest.fixture
def promoted(settings: Settings) -> Path:
    return settings.promotion.folder


async def follow(app: FastAPI) -> None:
    """Look at the record once, and wait for the change."""
    app.state.swap.follow()
    await app.state.swap.settled()


async def ask(client: httpx.AsyncClient, number: int) -> dict:
    body = {"photo_id": f"p{number}", "evidence": {"caption": f"{CAPTIONS[number % len(CAPTIONS)]} {number}"}}
    response = await client.post("/recommend", json=body)
    assert response.status_code == 200, response.text
    return response.json()
