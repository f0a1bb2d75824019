"""The endpoints: bytes in, bytes out. What they mean is in ``wire``; what they do is in ``service/serving.py``."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Mapping
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from service.answering.answer import server_timing
from service.answering.errors import Overloaded, RequestRefused
from service.answering.request import MAX_ID_CHARACTERS, RecommendRequest
from service.http import wire
from service.http.envelope import ARRIVED_AT, TRACEPARENT
from service.http.errors import (
    BodyTooLarge,
    Fault,
    InvalidRequest,
    UnsupportedMediaType,
    body_of,
    error_body,
    headers_of,
    status_of,
)
from service.http.parsing import load_json, validate
from service.instance import Instance
from service.observing.metrics import CONTENT_TYPE
from service.serving import Serving

Result = TypeVar("Result")

CLIENT_CLOSED_REQUEST = 499
"""Never reaches the client, which has left; only a metric label."""

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": wire.ErrorResponse, "description": text}
    for status, text in {
        413: "The body is over the limit.",
        415: "The content type is not JSON.",
        422: "The body is not what the contract says; every fault is named.",
        429: "Overloaded; Retry-After says for how long.",
        500: "The service failed on this request.",
        503: "Not ready, or draining.",
    }.items()
}
_NOT_READY: dict[int | str, dict[str, Any]] = {503: _ERRORS[503]}


def json_response(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response, in UTF-8 as people read it."""
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return Response(content, status, headers, "application/json")


_EXAMPLE = {"photo_id": "p1", "user_id": "u1", "evidence": {"caption": "CFMOTO 675NK, first ride"}, "explain": True}


def _body_schema(name: str, example: Any) -> dict[str, Any]:
    content = {"schema": {"$ref": f"#/components/schemas/{name}"}, "example": example}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def build_router(instance: Instance) -> APIRouter:
    """The routes of one service instance."""
    router = APIRouter()
    settings = instance.parts.settings

    @router.post(
        "/recommend",
        response_model=wire.RecommendResponse,
        responses=_ERRORS,
        openapi_extra=_body_schema("RecommendRequest", _EXAMPLE),
        summary="Write search queries for one video, or say that none should be shown.",
    )
    async def recommend(request: Request) -> Response:
        serving = instance.ready()
        document = load_json(await _read_body(request, settings.max_body_bytes))
        try:
            asked = validate(RecommendRequest, document)
            answer = serving.recommend(asked, request.scope[ARRIVED_AT], request.scope[TRACEPARENT])
            body, timings_ms = await _unless_client_leaves(answer, request.receive)
        except _ClientLeft:
            instance.metrics.cancelled()
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        except RequestRefused as refusal:
            return refused(instance, refusal, request, _request_id(document))
        return json_response(body, headers={"server-timing": server_timing(timings_ms)})

    @router.post(
        "/recommend/batch",
        response_model=wire.BatchResponse,
        responses=_ERRORS,
        openapi_extra=_body_schema("BatchRequest", {"requests": [_EXAMPLE, {"photo_id": "p2"}]}),
        summary="Answer up to 16 requests of one feed page, each with its own outcome.",
    )
    async def recommend_batch(request: Request) -> Response:
        serving = instance.ready()
        document = load_json(await _read_body(request, settings.max_batch_body_bytes))
        items = validate(wire.BatchRequest, document).requests
        outcomes = asyncio.gather(*(_outcome(item, request, serving) for item in items))
        try:
            results = await _unless_client_leaves(outcomes, request.receive)
        except _ClientLeft:
            instance.metrics.cancelled()
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        return json_response({"results": results})

    async def _outcome(item: Any, request: Request, serving: Serving) -> dict[str, Any]:
        try:
            asked = validate(RecommendRequest, item)
            body, _ = await serving.recommend(asked, request.scope[ARRIVED_AT], request.scope[TRACEPARENT])
        except RequestRefused as refusal:
            _count(instance, refusal)
            return {"status": status_of(refusal), "response": None, "error": body_of(refusal, _request_id(item))}
        return {"status": 200, "response": body, "error": None}

    @router.get("/healthz", response_model=wire.HealthResponse, summary="Whether the process works.")
    async def healthz() -> Response:
        return json_response({"status": "ok"})

    @router.get(
        "/readyz", response_model=wire.ReadyResponse, responses=_NOT_READY, summary="Whether it takes requests."
    )
    async def readyz() -> Response:
        reason = instance.not_ready_because
        if reason:
            return json_response(error_body("not_ready", reason), 503, {"retry-after": "1"})
        return json_response({"status": "ready"})

    @router.get("/version", response_model=wire.VersionResponse, summary="What is running here.")
    async def version() -> Response:
        return json_response(instance.parts.describe())

    @router.get("/metrics", response_class=Response, summary="Metrics in Prometheus' text format.",
                responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}})  # fmt: skip
    async def metrics() -> Response:
        return Response(instance.metrics.render(), headers={"content-type": CONTENT_TYPE})

    return router


def refused(instance: Instance, refusal: RequestRefused, request: Request, request_id: str | None = None) -> Response:
    """The response of a refusal, which says in Server-Timing how long it took."""
    _count(instance, refusal)
    elapsed_ms = (time.perf_counter() - request.scope[ARRIVED_AT]) * 1000
    headers = headers_of(refusal) | {"server-timing": server_timing({"total": round(elapsed_ms, 3)})}
    return json_response(body_of(refusal, request_id), status_of(refusal), headers)


def _count(instance: Instance, refusal: RequestRefused) -> None:
    if isinstance(refusal, Overloaded):
        instance.metrics.refused(refusal.cause)


def _request_id(document: Any) -> str | None:
    """The request_id of a body that was refused, if it has a usable one."""
    value = document.get("request_id") if isinstance(document, dict) else None
    return value[:MAX_ID_CHARACTERS] if isinstance(value, str) and value.isprintable() else None


async def _read_body(request: Request, limit: int) -> bytes:
    """The body, read no further than the limit. Raises UnsupportedMediaType, BodyTooLarge and InvalidRequest."""
    content_type = request.headers.get("content-type", "application/json")
    media_type, _, parameters = content_type.partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if media_type.strip().lower() != "application/json" or charset not in ("", "utf-8", "utf8"):
        raise UnsupportedMediaType(content_type)
    declared = request.headers.get("content-length", "0")
    if not declared.isdigit() or int(declared) > limit:
        raise BodyTooLarge(limit)
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise BodyTooLarge(limit)
            chunks.append(chunk)
    except ClientDisconnect:
        raise InvalidRequest([Fault("body", "The client left before the body was complete.")]) from None
    return b"".join(chunks)


class _ClientLeft(Exception):
    """The client closed the connection while its answer was being made."""


async def _unless_client_leaves(work: Awaitable[Result], receive: Receive) -> Result:
    """Await the work, but cancel it when the client leaves. Raises _ClientLeft."""
    working = asyncio.current_task()
    assert working is not None
    left = False

    async def watch() -> None:
        nonlocal left
        while (await receive())["type"] != "http.disconnect":
            pass
        left = True
        working.cancel()

    watching = asyncio.create_task(watch())
    try:
        return await work
    except asyncio.CancelledError:
        if left and working.uncancel() == 0:
            raise _ClientLeft from None
        raise
    finally:
        # Not awaited: that would let every other request go first, and this one's answer is ready.
        watching.cancel()
