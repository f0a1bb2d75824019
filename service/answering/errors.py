"""Why a request gets no answer. The HTTP status of each kind is in ``service/http/errors.py``.

RequestRefused
├── Overloaded             no room, or no time before the deadline
├── NotReady               the instance is starting or draining
└── GenerationFailed       the engine failed on this request
    └── EngineStopped      the engine's loop has ended
"""

from __future__ import annotations

from service.errors import ServiceError


class RequestRefused(ServiceError):
    """A request that gets an error instead of an answer."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Overloaded(RequestRefused):
    """There is no room for this request within its deadline.

    Attributes:
        cause: ``queue_full`` or ``expected_wait``, a metric label.
        retry_after_seconds: when a new attempt has a chance.
    """

    def __init__(self, message: str, cause: str, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.cause = cause
        self.retry_after_seconds = retry_after_seconds


class NotReady(RequestRefused):
    """The instance takes no requests now."""


class GenerationFailed(RequestRefused):
    """The engine failed on this request, and on no other."""


class EngineStopped(GenerationFailed):
    """The engine's loop has ended. The instance is not ready until the process is started again."""
