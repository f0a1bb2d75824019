"""POST /feedback: clicks, engagement and orders, for the event log.

The service checks the form of an event and writes it to the sink of answers' events. It has no list of past answers, so
whether an event belongs to a shown query is decided by ``onebar events export``.
"""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Request, Response

from service.answering.errors import Overloaded
from service.http import wire
from service.http.access import Access
from service.http.body import read_body
from service.http.errors import Fault, InvalidRequest, NotAvailable, UnsupportedMediaType
from service.http.feedback_wire import FeedbackRequest, FeedbackResponse
from service.http.parsing import load_json, validate
from service.http.responses import json_response
from service.instance import Instance

MAX_BODY_BYTES = 8 * 1024
TOLERANCE_MS = 60_000
"""How far a caller's clock may be ahead of this one."""

_RETRY_SECONDS = 1.0
_NO_SINK = "Events are not written here, so there is no feedback; set ONEBAR_EVENTS__SINK."
_FULL = "Too many events wait to be written; send this one again later."

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": wire.ErrorResponse, "description": text}
    for status, text in {
        401: "A valid API key is missing.",
        403: "The key may not send feedback.",
        404: "This instance writes no events.",
        413: "The body is over the limit.",
        415: "The content type is not JSON.",
        422: "The body does not follow the contract; every fault is named.",
        429: "Too many events wait to be written; Retry-After says when to send it again.",
    }.items()
}

_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"$ref": "#/components/schemas/FeedbackRequest"},
            "example": {"request_id": "r-1", "event": "click", "rank": 1},
        }
    },
}


def build_feedback_router(instance: Instance, access: Access) -> APIRouter:
    """Return the route."""
    router = APIRouter()

    @router.post(
        "/feedback",
        status_code=202,
        response_model=FeedbackResponse,
        responses=_ERRORS,
        openapi_extra={"requestBody": _BODY},
        summary="Report a click, engagement or an order for a query that an answer showed.",
    )
    async def feedback(request: Request) -> Response:
        caller = access.feedback_caller_of(request)
        events = instance.events
        if events is None:
            raise NotAvailable(_NO_SINK)
        if "content-type" not in request.headers:
            raise UnsupportedMediaType("")
        asked = validate(FeedbackRequest, load_json(await read_body(request, MAX_BODY_BYTES)))
        now_ms = round(time.time() * 1000)
        if asked.time_ms is not None and asked.time_ms > now_ms + TOLERANCE_MS:
            ahead = (asked.time_ms - now_ms) // 1000
            sentence = f"It is {ahead} seconds in the future; send Unix milliseconds, and check the caller's clock."
            raise InvalidRequest([Fault("time_ms", sentence)])
        if not events.offer(asked.to_event(now_ms, caller.key_id)):
            raise Overloaded(_FULL, "event_queue_full", _RETRY_SECONDS)
        instance.metrics.feedback(asked.event)
        return json_response({"status": "accepted", "request_id": asked.request_id, "event": asked.event}, 202)

    return router
