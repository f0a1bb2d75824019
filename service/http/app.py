"""The ASGI applications of the public port and of the admin port, and the lifespan of the instance behind them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib import metadata
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException

from service.answering.errors import RequestRefused
from service.answering.request import RecommendRequest
from service.answering.runner import GenerationScheduler
from service.http import wire
from service.http.access import Access
from service.http.admin import build_admin_router, build_health_router
from service.http.docs_page import build_docs_router
from service.http.envelope import Envelope
from service.http.errors import error_body
from service.http.feedback import build_feedback_router
from service.http.feedback_wire import FeedbackRequest
from service.http.responses import json_response, refused
from service.http.review import build_review_router
from service.http.routes import build_router
from service.http.warm_up import warm_up
from service.instance import Instance
from service.operating.bundle_swap import BundleSwap, open_instance
from service.operating.shadow import Shadow
from service.page.routes import build_page_router
from service.settings import Settings

_DESCRIPTION = """
Search queries for the bar below a short video, generated from the evidence of that video.

Call `POST /recommend` when the next video is known. The answer comes within `deadline_ms`. It has up to `num_queries`
queries, or the reason for showing none; `degraded` names what was missing.
""".strip()

# With status 404, so that a load balancer that asks for `/` does not take a draining instance for a ready one.
_AT_THE_ROOT = (
    "This is OneBar. Its API is POST /recommend; docs/http_api.md describes it, and so does /docs on the admin port."
    " With ONEBAR_PAGE__ENABLED=true, the public port has a page here (docs/page.md)."
)

_QUIET: dict[str, Any] = {
    "docs_url": None,
    "redoc_url": None,
    "openapi_url": None,
    "redirect_slashes": False,
    # FastAPI would send spans, metrics and logs to any OpenTelemetry provider that a library sets up in this process,
    # and with FASTAPI_OTEL_AUTO_CONFIGURE=true to one of its own.
    "telemetry": {
        "tracing": False, "metrics": False, "logs": False, "operation_spans": False, "auto_configure": False,
    },
}  # fmt: skip


def create_app(settings: Settings, scheduler: GenerationScheduler | None = None) -> FastAPI:
    """Build the application of the public port.

    ``app.state.instance`` is its Instance, ``app.state.swap`` changes the bundle, ``app.state.access`` authenticates
    the callers, and ``app.state.admin`` is the application of the admin port.

    Args:
        settings: the whole tree.
        scheduler: by default the bundle's own engine.

    Raises:
        BackendError: the wanted backend cannot run the bundle on this machine.
        BundleError: the bundle must not be served.
        ConfigurationError: keys, rules, terms, constraints, the event sink or the feed of the page cannot be used.
    """
    access = Access(settings)
    instance = open_instance(settings, scheduler)
    shadow = Shadow(instance, settings.shadow)
    swap = BundleSwap(instance, shadow, settings)
    if settings.shadow.share:
        instance.mirror = shadow.offer

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            await instance.start(partial(warm_up, app))
            await swap.check_start()
            shadow.start()
            yield
        finally:
            await swap.close()
            shadow.abandon()
            await instance.stop()

    app = FastAPI(
        title="OneBar", description=_DESCRIPTION, version=metadata.version("onebar"), lifespan=lifespan, **_QUIET
    )
    app.openapi = partial(_openapi, app)  # type: ignore[method-assign]
    app.state.instance = instance
    app.state.access = access
    app.state.swap = swap
    review = build_review_router(instance, access)
    app.state.admin = _build_admin_app(instance, swap, app, review)
    app.include_router(build_router(instance, access))
    app.include_router(build_feedback_router(instance, access))
    if settings.review.public:
        app.include_router(review)
    app.include_router(build_health_router(instance))
    _finish(app, instance)
    if settings.docs_public:
        app.include_router(build_docs_router(app))
    if settings.page.enabled:
        app.include_router(
            build_page_router(lambda: instance.parts, access.caller_of, feedback=instance.events is not None)
        )
    return app


def _build_admin_app(instance: Instance, swap: BundleSwap, public: FastAPI, review: APIRouter) -> FastAPI:
    """Build the application of the admin port. Its /docs describes the public port."""
    app = FastAPI(title="OneBar admin", **_QUIET)
    app.include_router(build_health_router(instance))
    app.include_router(build_admin_router(instance, swap))
    app.include_router(review)
    app.include_router(build_docs_router(public))
    _finish(app, instance)
    return app


def _finish(app: FastAPI, instance: Instance) -> None:
    """Add the middleware and the error handlers that both applications have."""
    app.add_middleware(Envelope, count=instance.count_response, draining=lambda: instance.draining)

    @app.exception_handler(RequestRefused)
    async def on_refusal(request: Request, refusal: RequestRefused) -> Response:
        return refused(instance, refusal, request)

    @app.exception_handler(HTTPException)
    async def on_http_exception(request: Request, error: HTTPException) -> Response:
        code = "not_found" if error.status_code == 404 else "method_not_allowed"
        message = f"{request.method} {request.url.path} is not on this port; docs/http_api.md lists the endpoints."
        if request.url.path == "/":
            message = _AT_THE_ROOT
        return json_response(error_body(code, message), error.status_code, error.headers)


def _openapi(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document, with the request bodies that the routes read themselves."""
    if app.openapi_schema is not None:
        return app.openapi_schema
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    requests: list[Any] = [(RecommendRequest, "validation"), (wire.BatchRequest, "validation")]
    requests.append((FeedbackRequest, "validation"))
    _, definitions = models_json_schema(requests, ref_template="#/components/schemas/{model}")
    document["components"]["schemas"] |= definitions["$defs"]
    app.openapi_schema = document
    return document
