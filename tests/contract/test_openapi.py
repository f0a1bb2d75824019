"""The OpenAPI document equals its snapshot, and the service conforms to it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, given
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.generation import GenerationMode

from service.http.app import create_app
from service.settings import EventSettings, FeedbackSettings, Settings

SNAPSHOT = Path(__file__).with_name("openapi.json")
UPDATE = "ONEBAR_UPDATE_SNAPSHOT"

OPERATIONS = [
    ("POST", "/recommend"),
    ("POST", "/recommend/batch"),
    ("POST", "/feedback"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
]
CHECKS = [
    (method, path, mode)
    for method, path in OPERATIONS
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    if method == "POST" or mode is GenerationMode.POSITIVE  # a GET has no parameters
]


@pytest.fixture
def api_schema(settings: Settings, tmp_path: Path):
    events = EventSettings(path=str(tmp_path / "events.jsonl"))
    feedback = FeedbackSettings(without_key=True)
    app = create_app(settings.model_copy(update={"docs_public": True, "events": events, "feedback": feedback}))
    generation = GenerationConfig(deterministic=True, database="none")
    config = SchemathesisConfig(projects=ProjectsConfig(default=ProjectConfig(generation=generation)))
    return schemathesis.openapi.from_asgi("/openapi.json", app, config=config)


@pytest.mark.parametrize(("method", "path", "mode"), CHECKS)
def test_responses_conform_to_the_openapi_document(api_schema, method, path, mode):
    operation = api_schema[path][method]

    @hypothesis.settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def holds(case):
        if path == "/feedback":
            case.headers["host"] = "localhost"
            if mode is GenerationMode.POSITIVE and isinstance(case.body, dict):
                case.body.pop("time_ms", None)  # the schema cannot say that the future is refused
        case.call_and_validate()

    holds()


def test_every_operation_is_checked(app):
    paths = app.openapi()["paths"]
    assert {(method.upper(), path) for path, item in paths.items() for method in item} == set(OPERATIONS)


def test_the_document_equals_the_snapshot(app):
    document = app.openapi() | {"info": {"title": "OneBar"}}
    written = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if os.environ.get(UPDATE):
        SNAPSHOT.write_text(written, encoding="utf-8")
    assert SNAPSHOT.read_text(encoding="utf-8") == written, (
        f"the contract has changed; if that is intended, run this test with {UPDATE}=1 and commit the new snapshot"
    )
