"""The refusals, defaults and probes in docs/http_api.md, access.md and lifecycle.md are those of the service."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from pydantic_settings import BaseSettings

from service.answering.request import RecommendRequest
from service.http.app import create_app
from service.settings import ConnectionSettings, Settings
from tests.fixtures.serving import running, with_key

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {name: (DOCS / f"{name}.md").read_text(encoding="utf-8") for name in ("http_api", "access", "lifecycle")}
FAULTY = {"photo_id": "p 1", "evidence": {"caption": 5}, "num_query": 2}


def json_blocks(page: str) -> list[Any]:
    """Return the JSON documents of a page, without fragments."""
    found = re.findall(r"^```json\n(\{.*?)^```$", PAGES[page], re.MULTILINE | re.DOTALL)
    return [json.loads(text) for text in found]


def printed_errors() -> dict[str, list[Any]]:
    """Return the printed error bodies by code, with those of batches."""
    errors: dict[str, list[Any]] = {}
    for block in json_blocks("http_api"):
        for body in [result["error"] for result in block.get("results", [])] or [block]:
            if body and "error" in body:
                errors.setdefault(body["error"], []).append(body)
    return errors


async def test_printed_refusals_are_those_of_the_service(settings: Settings, tmp_path: Path) -> None:
    keyed, headers = with_key(settings, tmp_path)
    page = [{"photo_id": "p1", "explain": True, "request_id": "r-2"}, {"photo_id": "p 1"}]
    async with running(create_app(keyed)) as client:
        answered = [
            (await client.post("/recommend", json={"photo_id": "p1"}, headers=given)).json()
            for given in ({"authorization": "Bearer wrong"}, headers)
        ]
        answered.append((await client.post("/recommend", json=FAULTY, headers=headers)).json())
        batch = await client.post("/recommend/batch", json={"requests": page}, headers=headers)
        answered += [result["error"] for result in batch.json()["results"]]
    printed = printed_errors()
    for code in ("unauthorized", "forbidden", "invalid_request"):
        real = [body for body in answered if body.get("error") == code]
        assert real
        assert [body for body in printed[code] if body not in real] == []


def test_the_printed_request_fields_are_those_of_the_contract() -> None:
    table = PAGES["http_api"].split("## The request", 1)[1].split("\n## ", 1)[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(RecommendRequest.model_fields)


@pytest.mark.parametrize(("page", "prefix", "model"), [
    ("access", "", ConnectionSettings), ("lifecycle", "ONEBAR_", Settings),
])  # fmt: skip
def test_the_printed_defaults_of_a_table_are_those_of_the_settings(
    page: str, prefix: str, model: type[BaseModel] | type[BaseSettings]
) -> None:
    rows = re.findall(rf"^\| `{prefix}([A-Z_]+)` \| (\S+) \|", PAGES[page], re.MULTILINE)
    defaults = {name.lower(): float(value) for name, value in rows}
    assert defaults
    assert defaults == {name: model.model_fields[name].default for name in defaults}
    if model is ConnectionSettings:
        assert set(defaults) == set(ConnectionSettings.model_fields)


def test_the_defaults_in_sentences_are_those_of_the_settings() -> None:
    printed = [found for page in PAGES.values() for found in re.findall(r"`ONEBAR_([A-Z_]+)` \(([0-9.]+)\)", page)]
    assert {"DRAIN_SECONDS", "SHUTDOWN_SECONDS", "PORT", "ADMIN_PORT"} <= {name for name, _ in printed}
    for name, value in printed:
        assert (name, float(value)) == (name, Settings.model_fields[name.lower()].default)


def test_the_deployment_of_kubernetes_probes_the_admin_port_and_waits_for_the_drain() -> None:
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", PAGES["lifecycle"], re.MULTILINE | re.DOTALL)
    pod = yaml.safe_load(text)["spec"]
    (container,) = pod["containers"]
    settings = Settings()
    assert pod["terminationGracePeriodSeconds"] > settings.drain_seconds + settings.shutdown_seconds
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": settings.port, "admin": settings.admin_port}
    probes = {name: value["httpGet"] for name, value in container.items() if name.endswith("Probe")}
    assert probes["livenessProbe"] == {"path": "/healthz", "port": "admin"}
    assert probes["readinessProbe"] == {"path": "/readyz", "port": "admin"}
    variables = {variable["name"] for variable in container["env"]}
    assert variables == {"ONEBAR_KEYS", "ONEBAR_PRIVACY__KEY_FILE", "ONEBAR_ADMIN_HOST"}
