"""A shop whose bundle is served, and passwords in the environment."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE", str(tmp_path))
    monkeypatch.setenv("EVENTS_PASSWORD", "secret-1")
    monkeypatch.setenv("STORE_PASSWORD", "secret-2")
    (tmp_path / "logs").mkdir()
    for name, content in (("bundle/manifest.json", '{"model_version": "first"}'), ("checkpoint/weights", "w0")):
        path = tmp_path / "first" / name
        path.parent.mkdir(parents=True)
        path.write_text(content)
