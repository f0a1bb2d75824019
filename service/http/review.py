"""The reviewer's API: recent answers, and the queries that are blocked or pinned.

It is on the admin port, and on the public port with ``ONEBAR_REVIEW__PUBLIC``. Every endpoint needs a key that may
review, on both ports.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, get_args

from fastapi import APIRouter, Request, Response

from service.answering.recent_answers import Wanted
from service.errors import ServiceError
from service.http import review_wire, wire
from service.http.access import Access, refuse_other_sites
from service.http.body import read_body
from service.http.errors import Conflict, NotAvailable, UnsupportedMediaType
from service.http.parsing import load_json, validate
from service.http.responses import json_response
from service.instance import Instance
from service.operating.rules_edit import (
    ChangeKind,
    RulesChange,
    RulesConflict,
    RulesNotWritable,
    change_rules,
    recorded_changes,
    why_not_writable,
)

MAX_BODY_BYTES = 8 * 1024
MAX_LISTED = 1000
MAX_CHANGES = 100
TAKES_EFFECT = (
    "Now on this instance, and within about two seconds on every other instance that reads the same rules file."
)
NO_KEY = "loopback without a key"
"""The name of a reviewer in the record of changes where the service has no keys."""

_NO_ANSWERS = (
    "Recent answers are not kept here; set ONEBAR_REVIEW__ANSWERS to the number of answers that each instance keeps in"
    " memory, or let events go to a Redis Stream."
)
_NO_RULES = "There is no rules file; set ONEBAR_RULES to one (`{}` is a valid one) and restart."
_PRIVATE = {"cache-control": "no-store"}

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": review_wire.ConflictResponse if status == 409 else wire.ErrorResponse, "description": text}
    for status, text in {
        401: "A valid API key is missing.",
        403: "The key may not review.",
        404: "This instance lacks it; the message says what to set.",
        409: "The rules have changed, or contradict the change.",
        413: "The body is over the limit.",
        415: "The content type is not JSON.",
        422: "The request does not follow the contract; every fault is named.",
    }.items()
}


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: _ERRORS[status] for status in (401, 403, *statuses)}


def build_review_router(instance: Instance, access: Access) -> APIRouter:
    """Return the routes for reviewers."""
    router = APIRouter(prefix="/review")
    rules = instance.rules
    path = rules.path.resolve() if rules.path else None  # a link is followed, and not replaced

    def why_not() -> str | None:
        if path is None:
            return _NO_RULES
        return rules.fault or why_not_writable(path)

    def rules_path() -> Path:
        if path is None:
            raise NotAvailable(_NO_RULES)
        return path

    @router.get(
        "", response_model=review_wire.ReviewResponse, responses=_errors(), summary="What a reviewer can do here."
    )
    async def review(request: Request) -> Response:
        caller = access.reviewer_of(request)
        recent, because = instance.reviewed, why_not()
        body = {
            "reviewer": caller.key_name,
            "answers": {
                "available": recent is not None,
                "source": recent.source if recent is not None else None,
                "capacity": recent.capacity if recent is not None else 0,
                "because": None if recent is not None else _NO_ANSWERS,
            },
            "rules": {
                "readable": path is not None,
                "writable": because is None,
                "kinds": list(get_args(ChangeKind)) if because is None else [],
                "because": because,
            },
        }
        return json_response(body, headers=_PRIVATE)

    @router.get(
        "/answers",
        response_model=review_wire.AnswersResponse,
        responses=_errors(404, 422),
        summary="Recent answers, newest first.",
    )
    async def answers(request: Request) -> Response:
        access.reviewer_of(request)
        recent = instance.reviewed
        if recent is None:
            raise NotAvailable(_NO_ANSWERS)
        asked = validate(review_wire.AnswersQuery, _parameters(request))
        wanted = Wanted(asked.video, asked.query, asked.request_id, asked.limit)
        try:
            found = await asyncio.to_thread(recent.find, wanted)
        except ServiceError as error:
            raise NotAvailable(f"The event stream cannot be read: {error}.") from error
        body = {
            "answers": [item.to_wire() for item in found],
            "source": recent.source,
            "capacity": recent.capacity,
        }
        return json_response(body, headers=_PRIVATE)

    @router.get(
        "/rules",
        response_model=review_wire.RulesResponse,
        responses=_errors(404),
        summary="The rules in force, and the latest changes.",
    )
    async def get_rules(request: Request) -> Response:
        access.reviewer_of(request)
        file = rules_path()
        await rules.follow()
        present, fault = rules.rules, rules.fault
        changes = await asyncio.to_thread(recorded_changes, file, MAX_CHANGES)
        pins = [
            {"query": pinned.query, "photo_id": photo_id, "category": category}
            for pinned in present.pinned_queries
            for photo_id, category in [*((p, None) for p in pinned.photo_ids), *((None, c) for c in pinned.categories)]
        ]
        body = {
            "version": present.version,
            "fault": fault,
            "blocked_queries": present.blocked_queries[-MAX_LISTED:],
            "blocked_queries_total": len(present.blocked_queries),
            "blocked_categories": present.blocked_categories[-MAX_LISTED:],
            "pins": pins[-MAX_LISTED:],
            "pins_total": len(pins),
            "changes": changes,
        }
        return json_response(body, headers=_PRIVATE)

    @router.post(
        "/rules",
        response_model=review_wire.RulesChangeResponse,
        responses=_errors(404, 409, 413, 415, 422),
        summary="Block or pin a query, or undo that.",
    )
    async def post_rules(request: Request) -> Response:
        caller = access.reviewer_of(request)
        refuse_other_sites(request)
        if "content-type" not in request.headers:
            raise UnsupportedMediaType("")
        file = rules_path()
        asked = validate(review_wire.RulesChangeRequest, load_json(await read_body(request, MAX_BODY_BYTES)))
        change = RulesChange(asked.kind, asked.query, asked.photo_id, asked.reason, caller.key_name or NO_KEY)
        try:
            version = await asyncio.to_thread(change_rules, file, asked.version, change)
        except RulesConflict as conflict:
            raise Conflict(str(conflict), conflict.version) from None
        except RulesNotWritable as error:
            raise NotAvailable(f"The rules cannot be changed here: {error}.") from error
        await rules.follow()
        body = {"version": version, "in_force_here": rules.rules.version == version, "takes_effect": TAKES_EFFECT}
        return json_response(body, headers=_PRIVATE)

    return router


def _parameters(request: Request) -> dict[str, Any]:
    """Return the parameters of the URL without empty ones; a number as a number."""
    given: dict[str, Any] = {name: value for name, value in request.query_params.items() if value}
    limit = given.get("limit", "")
    if limit.isascii() and limit.isdigit() and len(limit) <= 6:
        given["limit"] = int(limit)
    return given
