"""The application for the contract tests: a bundle with random weights, and the embedded store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fastapi import FastAPI

from service.http.app import create_app
from service.settings import Settings
from tests.fixtures.serving import bundle_path, settings_for

__all__ = ["bundle_path"]

PHOTO = {"photo_id": "p1", "caption": "red running shoes", "anchors": ["running shoes price"], "category": "shoes"}


@pytest.fixture
def settings(bundle_path: Path, tmp_path: Path) -> Settings:
    """Settings with one video in the embedded store."""
    photos = tmp_path / "photos.jsonl"
    photos.write_text(json.dumps(PHOTO) + "\n")
    return settings_for(bundle_path, store={"url": "memory://", "evidence": (photos,)})


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    """The application, not started. An application can start only once, so each test has its own."""
    return create_app(settings)
