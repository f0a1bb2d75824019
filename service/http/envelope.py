"""ASGI middleware of every request: arrival time, trace, response counts, and the handler of unexpected errors.

Plain ASGI, because a middleware around request objects costs more than the rest of the request path.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.errors import error_body
from service.http.protocol import ARRIVED_AT
from service.observing.logs import bound_request_id

logger = logging.getLogger(__name__)

TRACEPARENT = "onebar.traceparent"

_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_INTERNAL_ERROR = "The service failed on this request; its log has the cause."


class Envelope:
    """Adds arrival and trace to the scope, returns ``traceparent``, counts responses, answers a crash with JSON."""

    def __init__(self, app: ASGIApp, count: Callable[[str, int], None], draining: Callable[[], bool]) -> None:
        """Wrap an application.

        Args:
            app: the application.
            count: called with the path and the status of each response.
            draining: returns whether responses close the connection, so that the client opens one to another instance.
        """
        self._app = app
        self._count = count
        self._draining = draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request. Scopes other than HTTP are passed on unchanged."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope.setdefault(ARRIVED_AT, time.perf_counter())  # the server stamps it earlier
        trace = next((value for name, value in scope["headers"] if name == b"traceparent"), None)
        if trace is not None and not _TRACEPARENT.fullmatch(trace):
            trace = None  # W3C: ignore a traceparent that cannot be parsed
        scope[TRACEPARENT] = trace.decode("ascii") if trace else None
        status = 0

        async def send_with_trace(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                added = [] if trace is None else [(b"traceparent", trace)]
                if self._draining():
                    added.append((b"connection", b"close"))
                if added:  # to a list of its own: a response that is sent to many has one list
                    message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        try:
            await self._app(scope, receive, send_with_trace)
        except Exception:
            logger.exception("a request failed", extra={"path": scope["path"], "traceparent": scope[TRACEPARENT]})
            if status:  # a response has begun; only the server can still close the connection
                raise
            body = json.dumps(error_body("internal_error", _INTERNAL_ERROR, request_id=bound_request_id())).encode()
            headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
            await send_with_trace({"type": "http.response.start", "status": 500, "headers": headers})
            await send_with_trace({"type": "http.response.body", "body": body})
        finally:
            if status:
                self._count(scope["path"], status)
