"""The bundle that these tests serve."""

from __future__ import annotations

from tests.fixtures.serving import bundle_path

__all__ = ["bundle_path"]
