"""Endpoints for operators: health, readiness, metrics, version and the documentation.

Health and readiness are on both ports. The rest is only on the admin port, which is not exposed outside of the cluster.
Health checks on the admin port still work when the public port has reached its connection limit.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from service.http import wire
from service.http.errors import error_body
from service.http.responses import json_response
from service.instance import Instance
from service.observing.metrics import CONTENT_TYPE
from service.operating.bundle_swap import BundleSwap

_NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"model": wire.ErrorResponse, "description": "Not ready, or draining."}
}


def build_health_router(instance: Instance) -> APIRouter:
    """Return /healthz and /readyz."""
    router = APIRouter()

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

    return router


def build_admin_router(instance: Instance, swap: BundleSwap) -> APIRouter:
    """Return /version, /bundle and /metrics."""
    router = APIRouter()

    @router.get("/version", response_model=wire.VersionResponse, summary="Versions of the service.")
    async def version() -> Response:
        return json_response(instance.parts.describe() | {"rules_version": instance.rules.rules.version})

    @router.get(
        "/bundle", response_model=wire.BundleResponse, summary="The bundle that is served and the promoted one."
    )
    async def bundle() -> Response:
        return json_response(swap.describe())

    @router.get(
        "/metrics",
        response_class=Response,
        summary="Metrics in Prometheus' text format.",
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics() -> Response:
        return Response(instance.metrics.render(), headers={"content-type": CONTENT_TYPE})

    return router
