"""POST /recommend and POST /recommend/batch. The bodies are in ``answering/request.py`` and ``wire.py``."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from fastapi import APIRouter, Request, Response

from service.answering.answer import server_timing
from service.answering.caller import Caller
from service.answering.errors import GenerationFailed, RequestRefused
from service.answering.request import RecommendRequest
from service.http import wire
from service.http.access import Access
from service.http.body import ClientLeft, read_body, unless_client_leaves
from service.http.envelope import TRACEPARENT
from service.http.errors import Forbidden, body_of, status_of
from service.http.parsing import load_json, validate
from service.http.protocol import ARRIVED_AT
from service.http.responses import count_refusal, json_response, refused, request_id_of
from service.instance import Instance
from service.serving import Serving
from service.settings import MAX_DEADLINE_MS, MIN_DEADLINE_MS

logger = logging.getLogger(__name__)

CLIENT_CLOSED_REQUEST = 499
"""Never reaches the client, which has left; only a metric label."""

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": wire.ErrorResponse, "description": text}
    for status, text in {
        401: "A valid API key is missing.",
        403: "The key does not allow this.",
        413: "The body is over the limit.",
        415: "The content type is not JSON.",
        422: "The body does not follow the contract; every fault is named.",
        429: "Overloaded; Retry-After says for how long.",
        500: "The service failed on this request.",
        503: "Not ready, or draining.",
    }.items()
}

_EXAMPLE = {"photo_id": "p1", "user_id": "u1", "evidence": {"caption": "CFMOTO 675NK, first ride"}, "explain": True}


def _body_schema(name: str, example: Any) -> dict[str, Any]:
    content = {"schema": {"$ref": f"#/components/schemas/{name}"}, "example": example}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def build_router(instance: Instance, access: Access) -> APIRouter:
    """Return the routes that the feed calls."""
    router = APIRouter()
    settings = instance.parts.settings

    @router.post(
        "/recommend",
        response_model=wire.RecommendResponse,
        responses=ERRORS,
        openapi_extra=_body_schema("RecommendRequest", _EXAMPLE),
        summary="Generate search queries for one video, or answer that none should be shown.",
    )
    async def recommend(request: Request) -> Response:
        caller = access.caller_of(request)
        with instance.use() as serving:
            document = load_json(await read_body(request, settings.max_body_bytes))
            try:
                answering = _answer(document, request, serving, caller)
                body, timings_ms = await unless_client_leaves(answering, request.receive)
            except ClientLeft:
                instance.metrics.cancelled()
                return Response(status_code=CLIENT_CLOSED_REQUEST)
            except RequestRefused as refusal:
                return refused(instance, refusal, request, request_id_of(document, refusal))
        return json_response(body, headers={"server-timing": server_timing(timings_ms)})

    @router.post(
        "/recommend/batch",
        response_model=wire.BatchResponse,
        responses=ERRORS,
        openapi_extra=_body_schema("BatchRequest", {"requests": [_EXAMPLE, {"photo_id": "p2"}]}),
        summary="Answer up to 16 requests of one feed page, each with its own outcome.",
    )
    async def recommend_batch(request: Request) -> Response:
        caller = access.caller_of(request)
        with instance.use() as serving:
            document = load_json(await read_body(request, settings.max_batch_body_bytes))
            items = validate(wire.BatchRequest, document).requests
            try:
                results = await unless_client_leaves(_outcomes(items, request, serving, caller), request.receive)
            except ClientLeft:
                instance.metrics.cancelled()
                return Response(status_code=CLIENT_CLOSED_REQUEST)
        return json_response({"results": results})

    async def _outcomes(items: list[Any], request: Request, serving: Serving, caller: Caller) -> list[dict[str, Any]]:
        async with asyncio.TaskGroup() as group:
            tasks = []
            for item in items:
                tasks.append(group.create_task(_outcome(item, request, serving, caller)))
                await asyncio.sleep(0)  # other requests may run between the items of a large batch
        return [task.result() for task in tasks]

    async def _outcome(item: Any, request: Request, serving: Serving, caller: Caller) -> dict[str, Any]:
        """Answer one item of a batch. Its failure, expected or not, does not affect the other items."""
        refusal: RequestRefused
        try:
            body, _ = await _answer(item, request, serving, caller)
        except RequestRefused as error:
            refusal = error
            count_refusal(instance, refusal)
        except Exception:
            logger.exception("an item of a batch failed", extra={"traceparent": request.scope[TRACEPARENT]})
            refusal = GenerationFailed("The service failed on this request; its log has the cause.")
        else:
            instance.metrics.batch_item(200)
            return {"status": 200, "response": body, "error": None}
        status = status_of(refusal)
        instance.metrics.batch_item(status)
        return {"status": status, "response": None, "error": body_of(refusal, request_id_of(item, refusal))}

    return router


async def _answer(document: Any, request: Request, serving: Serving, caller: Caller) -> tuple[dict[str, Any], Any]:
    """Answer one document. Overload is checked before validation, which takes milliseconds for a large document."""
    arrived_at = request.scope[ARRIVED_AT]
    serving.refuse_if_overloaded(arrived_at, _deadline_ms(document))
    asked = validate(RecommendRequest, document)
    if not caller.may_explain:
        if asked.explain:
            raise _may_not_explain("explain")
        if asked.explain_search:
            raise _may_not_explain("explain_search")
    return await serving.recommend(asked, caller, arrived_at, request.scope[TRACEPARENT])


def _may_not_explain(field: str) -> Forbidden:
    return Forbidden(
        f"`{field}` shows stored queries of a viewer, so it needs a key that may explain (made with"
        f" `onebar keys create FILE NAME --may explain`); use such a key, or leave `{field}` out."
    )


def _deadline_ms(document: Any) -> float | None:
    """Return ``deadline_ms`` of a document that is not validated yet; None if it is not a number."""
    value = document.get("deadline_ms") if isinstance(document, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if MIN_DEADLINE_MS <= value <= MAX_DEADLINE_MS else None
