"""Every invalid body gets a 4xx that names the field; answers and errors conform to their models."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx
import pytest

from service.http import wire
from service.outcomes import STAGES
from tests.fixtures.serving import admin_client, running

JSON = {"content-type": "application/json"}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
async def client(app) -> AsyncIterator[httpx.AsyncClient]:
    async with running(app) as client:
        yield client


def body(**fields: object) -> bytes:
    return json.dumps({"photo_id": "p1", **fields}).encode()


def evidence(**fields: object) -> bytes:
    return body(evidence=fields)


MALFORMED = {
    "empty": (b"", "body"),
    "spaces": (b"  \n", "body"),
    "cut off": (b'{"photo_id": "p1"', "body"),
    "trailing comma": (b'{"photo_id": "p1",}', "body"),
    "two documents": (b'{"photo_id": "p1"} {}', "body"),
    "single quotes": (b"{'photo_id': 'p1'}", "body"),
    "binary": (bytes(range(256)), "body"),
    "byte order mark": (b'\xef\xbb\xbf{"photo_id": "p1"}', "body"),
    "UTF-16": ('{"photo_id": "p1"}'.encode("utf-16"), "body"),
    "a huge number": (b'{"photo_id": "p1", "num_queries": ' + b"9" * 5000 + b"}", "body"),
    "nested too deeply": (b"[" * 60_000, "body"),
    "an array": (b"[]", "body"),
    "a string": (b'"p1"', "body"),
    "null": (b"null", "body"),
    "no photo_id": (b"{}", "photo_id"),
    "null photo_id": (body(photo_id=None), "photo_id"),
    "number photo_id": (body(photo_id=7), "photo_id"),
    "empty photo_id": (body(photo_id=""), "photo_id"),
    "long photo_id": (body(photo_id="p" * 129), "photo_id"),
    "photo_id with a space": (body(photo_id="p 1"), "photo_id"),
    "photo_id with a line break": (body(photo_id="p1\n"), "photo_id"),
    "photo_id with a letter outside ASCII": (body(photo_id="视频"), "photo_id"),
    "user_id with braces": (body(user_id="{u}"), "user_id"),
    "object request_id": (body(request_id={}), "request_id"),
    "no queries": (body(num_queries=0), "num_queries"),
    "nine queries": (body(num_queries=9), "num_queries"),
    "half a query": (body(num_queries=1.5), "num_queries"),
    "queries as text": (body(num_queries="3"), "num_queries"),
    "queries as a boolean": (body(num_queries=True), "num_queries"),
    "no time": (body(deadline_ms=0), "deadline_ms"),
    "too much time": (body(deadline_ms=10_001), "deadline_ms"),
    "NaN": (b'{"photo_id": "p1", "deadline_ms": NaN}', "deadline_ms"),
    "infinity": (b'{"photo_id": "p1", "deadline_ms": Infinity}', "deadline_ms"),
    "an integer that no float can hold": (b'{"photo_id": "p1", "deadline_ms": ' + b"1" * 400 + b"}", "deadline_ms"),
    "explain as text": (body(explain="yes"), "explain"),
    "unknown field": (body(photoId="p1"), "photoId"),
    "evidence as a list": (body(evidence=[]), "evidence"),
    "unknown evidence": (evidence(capton="x"), "evidence.capton"),
    "number caption": (evidence(caption=5), "evidence.caption"),
    "long caption": (evidence(caption="x" * 4097), "evidence.caption"),
    "long title": (evidence(title="x" * 1025), "evidence.title"),
    "long summary": (evidence(summary="x" * 8193), "evidence.summary"),
    "NUL": (evidence(caption="a\0b"), "evidence.caption"),
    "escape character": (evidence(summary="\x1b[31m"), "evidence.summary"),
    "C1 control character": (evidence(item_title="\x85"), "evidence.item_title"),
    "lone high surrogate": (b'{"photo_id": "p1", "evidence": {"title": "\\ud800"}}', "evidence.title"),
    "lone low surrogate": (b'{"photo_id": "p1", "recent_queries": ["a", "\\udfff"]}', "recent_queries[1]"),
    "surrogate in a name": (b'{"photo_id": "p1", "\\ud800": 1}', "body"),
    "broken UTF-8": (b'{"photo_id": "p1", "evidence": {"caption": "\xc3\x28"}}', "evidence.caption"),
    "overlong UTF-8": (b'{"photo_id": "p1", "user_id": "\xc0\xaf"}', "user_id"),
    "anchors as text": (evidence(anchors="shoes"), "evidence.anchors"),
    "too many anchors": (evidence(anchors=["a"] * 65), "evidence.anchors"),
    "long history": (evidence(histories=["ok", "x" * 257]), "evidence.histories[1]"),
    "null history": (evidence(histories=["ok", None]), "evidence.histories[1]"),
    "line break in a query": (body(recent_queries=["a\nb"]), "recent_queries[0]"),
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_body_is_422_and_names_its_field(client, name):
    content, field = MALFORMED[name]
    response = await client.post("/recommend", content=content, headers=JSON)
    error = wire.ErrorResponse.model_validate_json(response.content)
    assert (response.status_code, error.error) == (422, "invalid_request")
    assert field in [fault.field for fault in error.errors]
    assert all(fault.message.endswith(".") or fault.message.endswith("?") for fault in error.errors)


async def test_the_fault_of_malformed_json_names_line_and_column(client):
    response = await client.post("/recommend", content=b'{\n "photo_id": oops}', headers=JSON)
    assert "line 2 column 14" in response.json()["errors"][0]["message"]


async def test_every_fault_is_named_at_once(client):
    content = body(photo_id=1, num_queries=0, colour="red", evidence={"caption": "\0", "anchors": [1, "ok", 2]})
    response = await client.post("/recommend", content=content, headers=JSON)
    assert [fault["field"] for fault in response.json()["errors"]] == [
        "photo_id", "num_queries", "evidence.caption", "evidence.anchors[0]", "evidence.anchors[2]", "colour",
    ]  # fmt: skip


async def test_a_misspelt_field_gets_a_suggestion(client):
    response = await client.post("/recommend", content=body(num_query=3), headers=JSON)
    assert "'num_queries'" in response.json()["errors"][0]["message"]


async def test_faults_over_the_limit_are_counted(client):
    content = body(**{f"f{number}": 1 for number in range(3000)})
    errors = (await client.post("/recommend", content=content, headers=JSON)).json()["errors"]
    assert len(errors) == 101
    assert "2900 more" in errors[-1]["message"]


@pytest.mark.parametrize("path", ["/recommend", "/recommend/batch"])
@pytest.mark.parametrize("size", [300_000, 2_000_000])
async def test_a_large_body_is_413_with_or_without_a_content_length(client, path, size):
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(size // 10_000):
            yield b"x" * 10_000

    for content in (b"x" * size, chunks()):
        response = await client.post(path, content=content, headers=JSON)
        error = wire.ErrorResponse.model_validate_json(response.content)
        assert (response.status_code, error.errors[0].field) == (413, "body")


async def test_a_body_of_exactly_the_limit_is_accepted(client):
    content = body(evidence={"caption": "shoes"})
    content += b" " * (64 * 1024 - len(content))
    assert (await client.post("/recommend", content=content, headers=JSON)).status_code == 200
    assert (await client.post("/recommend", content=content + b" ", headers=JSON)).status_code == 413


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ('Application/JSON;charset="UTF-8"', 200),
        ("application/json; charset=latin-1", 415),
        ("application/x-www-form-urlencoded", 415),
        ("text/plain", 415),
        ("", 415),
    ],
)
async def test_only_json_in_utf8_is_accepted(client, content_type, status):
    response = await client.post("/recommend", content=body(), headers={"content-type": content_type})
    assert response.status_code == status
    if status != 200:
        assert response.json()["errors"][0]["field"] == "content-type"


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"{}", "requests"),
        (b'{"requests": []}', "requests"),
        (b'{"requests": {}}', "requests"),
        (json.dumps({"requests": [{"photo_id": "p1"}] * 17}).encode(), "requests"),
        (b'{"requests": [{}], "more": 1}', "more"),
        (b'{"requests": [', "body"),
    ],
)
async def test_an_invalid_batch_is_422_and_names_its_field(client, content, field):
    response = await client.post("/recommend/batch", content=content, headers=JSON)
    assert response.status_code == 422
    assert field in [fault["field"] for fault in response.json()["errors"]]


@pytest.mark.parametrize("path", ["/nowhere", "/recommend/", "/recommend/p1"])
async def test_an_unknown_path_is_a_json_404(client, path):
    response = await client.post(path, content=body(), headers=JSON)
    assert response.status_code == 404
    wire.ErrorResponse.model_validate_json(response.content)


async def test_a_wrong_method_is_a_json_405_that_names_the_allowed_one(client):
    response = await client.put("/recommend", content=body(), headers=JSON)
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    wire.ErrorResponse.model_validate_json(response.content)


@pytest.mark.parametrize(
    "content",
    [
        body(),
        body(photo_id="unknown"),
        body(explain=True, user_id="u1", recent_queries=["red shoes"], num_queries=8),
        body(photo_id="unknown", explain=True),
        evidence(caption="防晒霜 油皮 🔥\n\t第二行", histories=["sun screen"]),
        body(request_id=None, user_id=None, evidence=None, deadline_ms=None, recent_queries=None),
        body(deadline_ms=1),
    ],
)
async def test_answers_conform_to_their_model_without_further_fields(client, content):
    response = await client.post("/recommend", content=content, headers=JSON)
    answer = response.json()
    strict = {"strict": True, "extra": "forbid"}
    wire.RecommendResponse.model_validate_json(response.content, **strict)
    assert response.status_code == 200
    assert (answer["decision"] == "recommend") == bool(answer["queries"]) == (answer["reason"] is None)
    assert set(answer["timings_ms"]) == set(STAGES)


@pytest.mark.parametrize(("field", "may_be_left_out"), [("photo_id", False), ("user_id", True)])
async def test_the_fault_of_an_empty_field_suggests_omission_only_for_optional_fields(client, field, may_be_left_out):
    response = await client.post("/recommend", content=body(**{field: ""}), headers=JSON)
    (fault,) = response.json()["errors"]
    assert fault["field"] == field
    assert ("leave the field out" in fault["message"]) == may_be_left_out


async def test_health_and_readiness_are_on_both_ports(app, client):
    async with admin_client(app) as admin:
        for port in (client, admin):
            for path, model in (("/healthz", wire.HealthResponse), ("/readyz", wire.ReadyResponse)):
                response = await port.get(path)
                assert response.status_code == 200
                model.model_validate_json(response.content, strict=True, extra="forbid")


@pytest.mark.parametrize("path", ["/version", "/metrics", "/docs", "/openapi.json"])
async def test_the_paths_for_operators_are_only_on_the_admin_port(app, client, path):
    async with admin_client(app) as admin:
        assert (await admin.get(path)).status_code == 200
        assert (await admin.post("/recommend", content=body(), headers=JSON)).status_code == 404
    assert (await client.get(path)).status_code == 404


async def test_answers_of_the_admin_port_conform_to_their_models(app, client):
    async with admin_client(app) as admin:
        version = await admin.get("/version")
        page = await admin.get("/docs")
        document = (await admin.get("/openapi.json")).json()
        for _ in range(2):
            traced = await admin.get("/docs", headers={"traceparent": TRACE})
            assert traced.headers.get_list("traceparent") == [TRACE]
        assert "traceparent" not in (await admin.get("/docs")).headers
        files = {name: await admin.get(f"/docs/{name}") for name in ("swagger-ui-bundle.js", "swagger-ui.css")}
        metrics = await admin.get("/metrics")
    wire.VersionResponse.model_validate_json(version.content, strict=True, extra="forbid")
    assert "://" not in page.text, "the page needs another host"
    assert "/recommend" in document["paths"]
    types = [response.headers["content-type"].partition(";")[0] for response in files.values()]
    assert types == ["text/javascript", "text/css"]
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'onebar_stage_duration_seconds_bucket{le="0.025",stage="decode"}' in metrics.text
