"""Builds JSON responses, and the response of every refusal."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from fastapi import Request, Response

from service.answering.answer import server_timing
from service.answering.errors import GenerationFailed, Overloaded, RequestRefused
from service.answering.request import MAX_ID_CHARACTERS
from service.http.errors import body_of, headers_of, status_of
from service.http.protocol import ARRIVED_AT
from service.instance import Instance
from service.observing.logs import bound_request_id


def json_response(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON response in UTF-8, without ASCII escapes."""
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return Response(content, status, headers, "application/json")


def refused(instance: Instance, refusal: RequestRefused, request: Request, request_id: str | None = None) -> Response:
    """Count a refusal and return its response, with its total time in Server-Timing."""
    count_refusal(instance, refusal)
    elapsed_ms = (time.perf_counter() - request.scope[ARRIVED_AT]) * 1000
    headers = headers_of(refusal) | {"server-timing": server_timing({"total": round(elapsed_ms, 3)})}
    return json_response(body_of(refusal, request_id), status_of(refusal), headers)


def count_refusal(instance: Instance, refusal: RequestRefused) -> None:
    """Count a refusal for load by its cause. Other refusals are counted by their HTTP status."""
    if isinstance(refusal, Overloaded):
        instance.metrics.refused(refusal.cause)


def request_id_of(document: Any, refusal: RequestRefused) -> str | None:
    """Return the request_id of a body that was refused: its own, or the one that its log lines carry; else None."""
    value = document.get("request_id") if isinstance(document, dict) else None
    if isinstance(value, str) and value.isprintable():
        return value[:MAX_ID_CHARACTERS]
    return bound_request_id() if isinstance(refusal, GenerationFailed) else None
