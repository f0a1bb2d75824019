"""The one place that turns a refusal into an HTTP response: status, headers and body.

RequestRefused
├── InvalidRequest         422, every fault named
├── BodyTooLarge           413
├── UnsupportedMediaType   415
├── Unauthorized           401
├── Forbidden              403
├── NotAvailable           404
├── Conflict               409
├── Overloaded             429 with Retry-After       (service/answering/errors.py, like the rest)
├── NotReady               503
└── GenerationFailed       500
    └── EngineStopped      503
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from service.answering.errors import EngineStopped, GenerationFailed, NotReady, Overloaded, RequestRefused


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a request: the field, and a sentence that names the fault and the correction."""

    field: str
    message: str


class InvalidRequest(RequestRefused):
    """The body does not follow the contract."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        noun = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__(f"The request has {noun}; correct what `errors` lists and send it again.")
        self.faults = tuple(faults)


class BodyTooLarge(RequestRefused):
    """The body is over the limit. It was not parsed, and the rest of it is not read."""

    def __init__(self, limit_bytes: int) -> None:
        sentence = f"The body is over the limit of {limit_bytes} bytes; shorten or leave out its largest fields."
        super().__init__(sentence)
        self.faults = (Fault("body", sentence),)


class UnsupportedMediaType(RequestRefused):
    """The content type is not JSON in UTF-8."""

    def __init__(self, content_type: str) -> None:
        sentence = f"Send the header `content-type: application/json`, in UTF-8; it was {content_type[:100]!r}."
        super().__init__(sentence)
        self.faults = (Fault("content-type", sentence),)


class Unauthorized(RequestRefused):
    """The request has no valid API key."""

    def __init__(self, has_header: bool) -> None:
        fault = "The API key is not valid or has expired" if has_header else "The request has no API key"
        super().__init__(f"{fault}; send the header `authorization: Bearer KEY` with a key of this service.")


class Forbidden(RequestRefused):
    """The API key does not allow this request."""


class NotAvailable(RequestRefused):
    """This deployment lacks what was asked for. The message says what to set."""


class Conflict(RequestRefused):
    """The rules have changed since they were read, or contradict the change. ``version`` is theirs."""

    def __init__(self, message: str, version: str | None) -> None:
        super().__init__(message)
        self.version = version


_ANSWERS: dict[type[RequestRefused], tuple[int, str]] = {
    InvalidRequest: (422, "invalid_request"),
    BodyTooLarge: (413, "body_too_large"),
    UnsupportedMediaType: (415, "unsupported_media_type"),
    Unauthorized: (401, "unauthorized"),
    Forbidden: (403, "forbidden"),
    NotAvailable: (404, "not_available"),
    Conflict: (409, "conflict"),
    Overloaded: (429, "overloaded"),
    NotReady: (503, "not_ready"),
    EngineStopped: (503, "not_ready"),
    GenerationFailed: (500, "generation_failed"),
}


def status_of(refusal: RequestRefused) -> int:
    """Return the HTTP status of a refusal."""
    return _ANSWERS[type(refusal)][0]


def headers_of(refusal: RequestRefused) -> dict[str, str]:
    """Return the headers that belong to a refusal."""
    if isinstance(refusal, Overloaded):  # Retry-After has whole seconds; the body has the exact time
        return {"retry-after": str(max(1, math.ceil(refusal.retry_after_seconds)))}
    if isinstance(refusal, Unauthorized):
        return {"www-authenticate": "Bearer"}
    if isinstance(refusal, NotReady):
        # The next request on this connection would reach this instance again; a new connection reaches another one.
        return {"retry-after": "1", "connection": "close"}
    return {}


def body_of(refusal: RequestRefused, request_id: str | None = None) -> dict[str, Any]:
    """Return the JSON body (``wire.ErrorResponse``), which has the same shape for every refusal."""
    faults: Sequence[Fault] = getattr(refusal, "faults", ())
    body = error_body(_ANSWERS[type(refusal)][1], refusal.message, faults, request_id)
    if isinstance(refusal, Overloaded):
        body["retry_after_ms"] = round(refusal.retry_after_seconds * 1000, 1)
    if isinstance(refusal, Conflict):
        body["version"] = refusal.version
    return body


def error_body(code: str, message: str, faults: Sequence[Fault] = (), request_id: str | None = None) -> dict[str, Any]:
    """Return an error body from its parts."""
    return {
        "error": code,
        "message": message,
        "errors": [{"field": fault.field, "message": fault.message} for fault in faults],
        "request_id": request_id,
    }
