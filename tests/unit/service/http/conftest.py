"""The settings of a service with some evidence, rules and an event file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from service.settings import Settings
from tests.fixtures.serving import settings_for

PHOTOS = (
    {"photo_id": "p1", "caption": "travel camera #new", "summary": "The video shows a camera", "category": "cameras"},
    {"photo_id": "knife", "caption": "hunting knife", "category": "weapons"},
)
USERS = ({"user_id": "u1", "queries": ["travel camera lens", "red dress"]},)


@pytest.fixture
def settings(bundle_path: Path, tmp_path: Path) -> Settings:
    photos, users = tmp_path / "photos.jsonl", tmp_path / "users.jsonl"
    photos.write_text("".join(json.dumps(row) + "\n" for row in PHOTOS))
    users.write_text("".join(json.dumps(row) + "\n" for row in USERS))
    store = {"url": "memory://", "evidence": (photos, users), "timeout_ms": 2000, "share": 1}
    (tmp_path / "rules.yaml").write_text("blocked_categories: [weapons]\nrecently_shown: {window_seconds: 600}\n")
    events = {"sink": "jsonl", "path": str(tmp_path / "events.jsonl")}
    return settings_for(bundle_path, store=store, rules=tmp_path / "rules.yaml", events=events)
