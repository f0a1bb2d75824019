"""Two services follow one record of the promoted bundle, each by itself; no file but that record connects them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.bundle_variants import bundle_variant
from generation.bundle import load_bundle
from service.operating.promotion import promote, rollback
from tests.fixtures.serving import bundle_path
from tests.integration.redis_servers import wait_until
from tests.integration.serve_process import Served, serving

__all__ = ["bundle_path"]

BODY = {"photo_id": "p1", "evidence": {"caption": "red running shoes"}, "deadline_ms": 10_000}


def served_version(service: Served) -> str:
    """Return the model version of an answer, which must not fail."""
    status, answer = service.post(BODY)
    assert status == 200, answer
    version: str = answer["model_version"]
    return version


def shown(service: Served) -> dict[str, Any]:
    """Return what the admin port says of the bundles."""
    found: dict[str, Any] = json.loads(service.get("/bundle", admin=True)[1])
    return found


def test_all_services_change_to_the_promoted_bundle_and_back(bundle_path: Path, tmp_path: Path) -> None:
    promoted, other = tmp_path / "promoted", bundle_variant(bundle_path, tmp_path / "b", {"reject": {"threshold": 0.9}})
    before, after = (load_bundle(path).model_version for path in (bundle_path, other))
    settings = {"PROMOTION__FOLDER": str(promoted), "PROMOTION__GOLDEN_SHARE": "0"}
    shadow = {"SHADOW__BUNDLE": str(other), "SHADOW__SHARE": "1"}
    with serving(bundle_path, **settings) as first, serving(bundle_path, **settings, **shadow) as second:
        services = (first, second)
        assert [served_version(service) for service in services] == [before, before]
        promote(promoted, other, "daily refresh")
        wait_until(lambda: [served_version(service) for service in services] == [after] * 2, "the change")
        rollback(promoted, "worse")
        wait_until(lambda: [served_version(service) for service in services] == [before] * 2, "the rollback")
        wait_until(lambda: all(shown(service)["state"] == "idle" for service in services), "the end of the change")
        assert shown(first)["reason"] == "worse"
        assert [service.metric('onebar_bundle_swaps_total{outcome="switched"}') for service in services] == [2, 2]
        assert [service.metric("onebar_bundles_loaded") for service in services] == [1, 2]
        assert first.metric('onebar_http_requests_total{path="/recommend",status="503"}') == 0
        assert [service.stop() for service in services] == [0, 0]
        assert not [line for service in services for line in service.lines if line.get("level") == "error"]
