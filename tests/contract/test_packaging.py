"""The image and the compose file conform to docs/operations.md."""

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
    """Return the paths that the Dockerfile copies from the tree."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    return {path for line in lines for path in line.split()[:-1]}


def test_the_build_needs_only_the_registry_of_its_base_image() -> None:
    assert not re.search(r"^#\s*syntax", DOCKERFILE, re.MULTILINE | re.IGNORECASE)
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) == {"python:3.11", "python:3.11-slim", "build"}


def test_the_image_has_the_serving_closure_and_nothing_else() -> None:
    assert {path for path in copied() if "." not in path and "/" not in path} - {"LICENSE", "loadtest"} == SERVING


def test_dockerignore_admits_every_copied_path() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line[1:] for line in lines if line.startswith("!")}
    assert lines[1] == "*"
    assert copied() <= allowed


def test_the_image_runs_as_an_unprivileged_user() -> None:
    final = DOCKERFILE.rsplit("FROM ", 1)[1]
    assert re.search(r"^USER 10001:10001$", final, re.MULTILINE)
    assert "/readyz" in final
    assert re.search(r'^ENTRYPOINT \["onebar"\]\n.*\nCMD \["serve", ', final, re.MULTILINE)


@pytest.mark.parametrize("name", list(COMPOSE["services"]))
def test_every_container_is_read_only_and_without_capabilities(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


@pytest.mark.parametrize("name", list(COMPOSE["services"]))
def test_every_container_has_limits(name: str) -> None:
    limits = COMPOSE["services"][name]["deploy"]["resources"]["limits"]
    assert set(limits) == {"cpus", "memory", "pids"}


def test_redis_evicts_before_its_container_is_killed() -> None:
    redis = COMPOSE["services"]["redis"]
    maxmemory = redis["command"][redis["command"].index("--maxmemory") + 1]
    memory = redis["deploy"]["resources"]["limits"]["memory"]
    assert int(memory.removesuffix("m")) >= 1.5 * int(maxmemory.removesuffix("mb"))


def test_secrets_come_from_a_job_and_are_in_no_compose_file_or_variable() -> None:
    services = COMPOSE["services"]
    writers = [name for name, service in services.items() if "secrets:/run/secrets" in service.get("volumes", [])]
    readers = {name for name, service in services.items() if "secrets:/run/secrets:ro" in service.get("volumes", [])}
    assert writers == ["secrets"]
    assert readers == {"redis", "load-evidence", "onebar"}
    assert services["redis"]["depends_on"] == {"secrets": {"condition": "service_completed_successfully"}}
    assert services["redis"]["command"][:2] == ["redis-server", "/run/secrets/redis.conf"]
    for service in services.values():
        assert not [name for name in service.get("environment", {}) if "URL" in name]
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"redis://[^\s\"]*", text)) == {"redis://:$$(cat"}


def test_the_service_waits_for_its_evidence_but_not_for_monitoring() -> None:
    conditions = {name: value["condition"] for name, value in COMPOSE["services"]["onebar"]["depends_on"].items()}
    assert conditions == {"redis": "service_healthy", "load-evidence": "service_completed_successfully"}
    by_default = {name for name, service in COMPOSE["services"].items() if "profiles" not in service}
    assert by_default == {"secrets", "redis", "load-evidence", "onebar"}
