"""What can go wrong in the service, and the only place that knows HTTP status codes.

ServiceError
├── ConfigurationError         settings, lists or files that the service cannot start with (exit code 2)
│   └── RulesError             a rules file, with every fault and its line
└── RequestRefused             a request that gets no answer; each kind knows its status
    ├── InvalidRequest         422, every fault named
    ├── BodyTooLarge           413
    ├── UnsupportedMediaType   415
    ├── Overloaded             429 with Retry-After
    ├── NotReady               503
    └── GenerationFailed       500, the engine failed on it
        └── EngineStopped      503, the engine's loop has ended
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a request: the field, and a sentence that says how to mend it."""

    field: str
    message: str


class ServiceError(Exception):
    """The root of what this package raises."""


class ConfigurationError(ServiceError):
    """The service cannot start as configured; the message is one sentence for the person who started it."""


class RulesError(ConfigurationError):
    """A rules file is wrong; ``problems`` has one line for each fault, with the line number and the mend."""

    def __init__(self, path: str, problems: Sequence[str]) -> None:
        self.path = path
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{path}{problem}" for problem in problems))


class RequestRefused(ServiceError):
    """A request that gets an error body instead of an answer."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.faults = tuple(faults)

    def headers(self) -> dict[str, str]:
        """Headers that go with this refusal."""
        return {}

    def body(self, request_id: str | None = None) -> dict[str, Any]:
        """The JSON body, the same shape for every refusal (``wire.ErrorResponse``)."""
        return {
            "error": self.code,
            "message": self.message,
            "errors": [{"field": fault.field, "message": fault.message} for fault in self.faults],
            "request_id": request_id,
        }


class InvalidRequest(RequestRefused):
    """The body is not what the contract says."""

    status = 422
    code = "invalid_request"

    def __init__(self, faults: Sequence[Fault]) -> None:
        noun = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__(f"The request has {noun}; mend what `errors` lists and send it again.", faults)


class BodyTooLarge(RequestRefused):
    """The body is over the limit; it was not parsed. What is still to come of it is thrown away, not waited for."""

    status = 413
    code = "body_too_large"

    def __init__(self, limit_bytes: int) -> None:
        sentence = f"The body is over the limit of {limit_bytes} bytes; shorten or leave out its largest fields."
        super().__init__(sentence, [Fault("body", sentence)])


class UnsupportedMediaType(RequestRefused):
    """The content type is not JSON in UTF-8."""

    status = 415
    code = "unsupported_media_type"

    def __init__(self, content_type: str) -> None:
        sentence = f"Send the header `content-type: application/json`, in UTF-8; it was {content_type[:100]!r}."
        super().__init__(sentence, [Fault("content-type", sentence)])


class Overloaded(RequestRefused):
    """There is no room for this request within its deadline."""

    status = 429
    code = "overloaded"

    def __init__(self, message: str, cause: str, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.cause = cause
        self.retry_after_seconds = retry_after_seconds

    def headers(self) -> dict[str, str]:
        """Retry-After is whole seconds in HTTP; the body has the exact time."""
        return {"retry-after": str(max(1, math.ceil(self.retry_after_seconds)))}

    def body(self, request_id: str | None = None) -> dict[str, Any]:
        """The common shape and ``retry_after_ms``."""
        return super().body(request_id) | {"retry_after_ms": round(self.retry_after_seconds * 1000, 1)}


class NotReady(RequestRefused):
    """The service is starting, draining, or has lost its engine."""

    status = 503
    code = "not_ready"

    def headers(self) -> dict[str, str]:
        """A kept-alive connection would bring the next request here again; a new one goes to another instance."""
        return {"retry-after": "1", "connection": "close"}


class GenerationFailed(RequestRefused):
    """The engine failed on this request, and on no other."""

    status = 500
    code = "generation_failed"


class EngineStopped(GenerationFailed):
    """The engine's loop has ended; readiness fails until the process is started again."""

    status = 503
    code = "not_ready"
