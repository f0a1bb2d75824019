"""Environment of every test: one thread for each library, and no telemetry. And the order of the files."""

from __future__ import annotations

import os

import pytest

# Set before the libraries are imported: pytest, redis-server and the service under test may share two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files with a slow test first, so that the processes of a parallel run end at about the same time."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name compressed bytes "gzip": they hold the time, and the processes of a parallel run must agree on the names."""
    return "gzip" if isinstance(val, bytes) and val[:2] == b"\x1f\x8b" else None
