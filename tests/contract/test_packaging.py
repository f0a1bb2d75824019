"""The image and the compose file keep the promises that operations.md makes for them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVING = {"cli", "client", "evidence", "feature_store", "generation", "service"}


def copied() -> set[str]:
    """What the Dockerfile takes from the tree."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    return {path for line in lines for path in line.split()[:-1]}


def test_the_build_needs_no_registry_but_that_of_its_base_image() -> None:
    assert not re.search(r"^#\s*syntax", DOCKERFILE, re.MULTILINE | re.IGNORECASE)
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) == {"python:3.11", "python:3.11-slim", "build"}


def test_the_image_has_the_serving_closure_and_nothing_else() -> None:
    assert {path for path in copied() if "." not in path and "/" not in path} - {"LICENSE", "loadtest"} == SERVING


def test_what_is_copied_is_let_into_the_build() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line[1:] for line in lines if line.startswith("!")}
    assert lines[1] == "*"
    assert copied() <= allowed


def test_the_image_serves_as_nobody_in_particular() -> None:
    final = DOCKERFILE.rsplit("FROM ", 1)[1]
    assert re.search(r"^USER 10001:10001$", final, re.MULTILINE)
    assert "/readyz" in final
    assert re.search(r'^ENTRYPOINT \["onebar"\]\n.*\nCMD \["serve", ', final, re.MULTILINE)


@pytest.mark.parametrize("name", list(COMPOSE["services"]))
def test_every_container_is_closed_down(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_serving_waits_for_its_evidence_and_not_for_what_watches_it() -> None:
    conditions = {name: value["condition"] for name, value in COMPOSE["services"]["onebar"]["depends_on"].items()}
    assert conditions == {"redis": "service_healthy", "load-evidence": "service_completed_successfully"}
    by_default = {name for name, service in COMPOSE["services"].items() if "profiles" not in service}
    assert by_default == {"redis", "load-evidence", "onebar"}
