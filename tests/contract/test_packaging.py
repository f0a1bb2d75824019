"""The image and the compose file conform to docs/operations.md."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.errors import ConfigurationError
from service.http.access import Access
from service.operating.keys import ApiKeys
from service.operating.promotion import read_current
from service.settings import Settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVING = {"cli", "client", "evidence", "feature_store", "generation", "service"}
SECRETS = "/run/secrets"


def setting(name: str) -> Any:
    """The default of a setting of the service."""
    return Settings.model_fields[name].default


def run_secrets_job(folder: Path) -> None:
    """Run the script of the job `secrets` with another folder in the place of the volume."""
    script = COMPOSE["services"]["secrets"]["command"][0].replace("$$", "$").replace(SECRETS, str(folder))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(["/bin/sh", "-euc", script], check=True, env=os.environ | {"PATH": path}, capture_output=True)


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
    assert re.search(r'^ENTRYPOINT \["onebar"\]$', final, re.MULTILINE)
    assert re.search(r'^CMD \["serve", ', final, re.MULTILINE)


def test_health_is_checked_on_the_admin_port() -> None:
    final = DOCKERFILE.rsplit("FROM ", 1)[1]
    port, admin_port = setting("port"), setting("admin_port")
    assert re.search(rf"^EXPOSE {port} {admin_port}$", final, re.MULTILINE)
    assert f"('127.0.0.1', {admin_port})" in final
    assert "GET /readyz" in final
    assert f'"--port", "{port}", "--admin-port", "{admin_port}"' in final


def test_prometheus_reads_the_admin_port_within_the_network() -> None:
    scraped = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    (job,) = scraped["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"onebar:{setting('admin_port')}"]}]
    assert COMPOSE["services"]["onebar"]["environment"]["ONEBAR_ADMIN_HOST"] == "0.0.0.0"


def test_compose_waits_for_the_drain_before_it_kills() -> None:
    seconds = int(COMPOSE["services"]["onebar"]["stop_grace_period"].removesuffix("s"))
    assert seconds > setting("drain_seconds") + setting("shutdown_seconds")


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
    assert readers == {"redis", "load-evidence", "onebar", "locust"}
    assert services["redis"]["depends_on"] == {"secrets": {"condition": "service_completed_successfully"}}
    assert services["redis"]["command"][:2] == ["redis-server", "/run/secrets/redis.conf"]
    for service in services.values():
        assert not [name for name in service.get("environment", {}) if "URL" in name]
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"redis://[^\s\"]*", text)) == {"redis://:$$(cat"}


def test_the_job_makes_each_secret_once_and_readable_only_by_its_group(tmp_path: Path) -> None:
    run_secrets_job(tmp_path)
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(made) == {"redis_password", "redis.conf", "users.key", "keys.json", "api_key"}
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o640}
    run_secrets_job(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == made


def test_a_job_that_was_interrupted_makes_a_valid_key_when_it_runs_again(tmp_path: Path) -> None:
    run_secrets_job(tmp_path)
    (tmp_path / "api_key").write_bytes(b"")  # as if the job had ended after the key file and before the key
    run_secrets_job(tmp_path)
    key = ApiKeys(tmp_path / "keys.json").find((tmp_path / "api_key").read_text(encoding="ascii").strip())
    assert key is not None
    assert key.permissions == ()


def test_the_service_of_compose_needs_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onebar = COMPOSE["services"]["onebar"]
    for name, value in onebar["environment"].items():
        monkeypatch.setenv(name, value.replace(SECRETS, str(tmp_path)))
    assert "exec onebar serve --host 0.0.0.0 " in onebar["command"][0]
    assert "insecure" not in onebar["command"][0]
    with pytest.raises(ConfigurationError, match="onebar keys create"):
        Access(Settings(host="0.0.0.0"))
    run_secrets_job(tmp_path)
    settings = Settings(host="0.0.0.0")
    assert settings.keys is not None
    assert not settings.insecure
    assert len(ApiKeys(settings.keys)) == 1
    Access(settings)


def test_the_service_follows_a_record_on_a_volume_that_only_one_job_writes() -> None:
    services = COMPOSE["services"]
    mounts = {name: [v for v in service.get("volumes", []) if ":/bundles" in v] for name, service in services.items()}
    volume = "${ONEBAR_BUNDLES:-bundles}:/bundles"
    assert {name: found for name, found in mounts.items() if found} == {
        "onebar": [f"{volume}:ro"],
        "bundles": [volume],
    }
    assert "bundles" in COMPOSE["volumes"]
    assert services["onebar"]["environment"]["ONEBAR_PROMOTION__FOLDER"] == "/bundles/promoted"
    assert services["bundles"]["entrypoint"] == ["onebar", "bundle"]


def test_an_empty_volume_of_bundles_belongs_to_the_user_of_the_image() -> None:
    final = DOCKERFILE.rsplit("FROM ", 1)[1]
    owned = final.index("RUN install -d -o 10001 -g 10001 /bundles")
    assert owned < final.index("USER 10001:10001")


def test_the_job_of_bundles_promotes_into_the_folder_that_the_service_follows(tmp_path: Path) -> None:
    job, onebar = COMPOSE["services"]["bundles"], COMPOSE["services"]["onebar"]
    bundle = tmp_path / "tuesday"
    shutil.copytree(ROOT / "demo" / "bundle", bundle)
    folder = onebar["environment"]["ONEBAR_PROMOTION__FOLDER"].replace("/bundles", str(tmp_path))
    command = [*job["entrypoint"], "promote", str(bundle), "--promoted", folder, "--reason", "daily refresh"]
    command[0] = str(Path(sys.executable).with_name("onebar"))
    subprocess.run(command, check=True, capture_output=True)
    record = read_current(Path(folder))
    assert record is not None
    assert record.bundle == "../tuesday"


def test_the_service_waits_for_its_evidence_but_not_for_monitoring() -> None:
    conditions = {name: value["condition"] for name, value in COMPOSE["services"]["onebar"]["depends_on"].items()}
    assert conditions == {"redis": "service_healthy", "load-evidence": "service_completed_successfully"}
    by_default = {name for name, service in COMPOSE["services"].items() if "profiles" not in service}
    assert by_default == {"secrets", "redis", "load-evidence", "onebar"}
