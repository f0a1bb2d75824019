"""The caller of a request, as far as the answer depends on it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of one request.

    Attributes:
        key_id: of the API key; None if the service needs none.
        may_explain: whether answers may show the evidence and every hypothesis.
    """

    key_id: str | None = None
    may_explain: bool = False
