"""Exceptions for requests that are refused. The HTTP status of each is in ``service/http/errors.py``.

RequestRefused
├── Overloaded             too many requests, or not enough time before the deadline
├── NotReady               the instance is starting, or its engine makes no progress
└── GenerationFailed       the engine failed on this request
    └── EngineStopped      the engine's loop has ended
"""

from __future__ import annotations

from service.errors import ServiceError


class RequestRefused(ServiceError):
    """A request that gets an error response instead of an answer."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Overloaded(RequestRefused):
    """The service has no capacity to answer this request within its deadline.

    Attributes:
        cause: ``queue_full`` or ``expected_wait``, a metric label.
        retry_after_seconds: time after which a new attempt may succeed.
    """

    def __init__(self, message: str, cause: str, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.cause = cause
        self.retry_after_seconds = retry_after_seconds


class NotReady(RequestRefused):
    """The instance cannot answer requests now."""


class GenerationFailed(RequestRefused):
    """The engine failed on this request; other requests are not affected."""


class EngineStopped(GenerationFailed):
    """The engine's loop has ended. The instance is not ready until the process is restarted."""
