"""The routes of the page: `/`, its files below `/page/`, what this deployment offers, and the feed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from evidence.render import SEGMENTS
from service.answering.caller import Caller
from service.outcomes import STAGES
from service.page.files import INDEX, StaticFile, read_feed, read_static
from service.page.headers import SECURITY
from service.page.reports.folder import read_reports
from service.parts import Parts

OBJECTIVE_MS: Final = 30
"""The time in which a bar must be there (paper, section 4)."""


def build_page_router(
    parts_of: Callable[[], Parts], caller_of: Callable[[Request], Caller], *, feedback: bool = False
) -> APIRouter:
    """Return the routes of the page.

    The files are public: they hold no data. The feed and the description of the deployment ask for an API key where
    the service has keys.

    Args:
        parts_of: returns the parts of the instance, which change with its bundle.
        caller_of: returns the caller of a request, or raises Unauthorized.
        feedback: whether the service takes feedback; the page sends clicks only then, if its caller may.

    Raises:
        ConfigurationError: the feed or the folder of reports cannot be used.
    """
    router, parts = APIRouter(include_in_schema=False), parts_of()
    static = read_static()
    feed = read_feed(parts.settings.page.feed) if parts.settings.page.feed else None
    reports = read_reports(parts.settings.page.reports, parts.bundle.manifest)
    start = _index(static[INDEX], without_key=parts.settings.keys is None, feed=feed is not None)

    @router.get("/")
    async def index(request: Request) -> Response:
        return _respond(request, start)

    @router.get("/page/deployment.json")
    async def deployment(request: Request) -> Response:
        caller = caller_of(request)
        body = _describe(parts_of(), caller) | {
            "feed": feed is not None,
            "feedback": feedback and caller.may_send_feedback,
        }
        return Response(
            json.dumps(body), media_type="application/json", headers=SECURITY | {"cache-control": "no-store"}
        )

    @router.get("/page/feed.json")
    async def demo_feed(request: Request) -> Response:
        caller_of(request)
        if feed is None:
            raise HTTPException(404)
        return _respond(request, feed)

    @router.get("/page/reports.json")
    async def measured(request: Request) -> Response:
        caller_of(request)
        if reports is None:
            raise HTTPException(404)
        return _respond(request, reports)

    @router.get("/page/{path:path}")
    async def asset(request: Request, path: str) -> Response:
        if path not in static:
            raise HTTPException(404)
        return _respond(request, static[path])

    return router


def _index(file: StaticFile, *, without_key: bool, feed: bool) -> StaticFile:
    """Return the page without the preloads of data that the browser would not get: it sends no key with them."""
    refused = (b'as="fetch"',) if not without_key else () if feed else (b"page/feed.json",)
    lines = file.content.splitlines(keepends=True)
    return StaticFile.of(b"".join(line for line in lines if not any(text in line for text in refused)), file.media_type)


def _respond(request: Request, file: StaticFile) -> Response:
    """Return the file, or 304 if the browser has it. Browsers ask each time, so a new version is seen at once."""
    headers = SECURITY | {"etag": file.etag, "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == file.etag:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)


def _describe(parts: Parts, caller: Caller) -> dict[str, Any]:
    """Return what the page needs to know of this deployment. It hides what the deployment lacks."""
    return {
        "docs": parts.settings.docs_public,
        "explain": caller.may_explain,
        "review": _review(parts, caller),
        "reports": parts.settings.page.reports is not None,
        "model_version": parts.bundle.model_version,
        "deadline_ms": parts.settings.default_deadline_ms,
        "objective_ms": OBJECTIVE_MS,
        "stages": [stage for stage in STAGES if stage != "total"],
        "segments": list(SEGMENTS),
    }


def _review(parts: Parts, caller: Caller) -> str | None:
    """Return whether this caller may review, or needs another key ("key"); None where the page cannot reach the API."""
    if not parts.settings.review.public:
        return None
    if caller.may_review:
        return "open"
    return "key" if parts.settings.keys else None
