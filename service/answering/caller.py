"""The caller of a request, as far as the answer depends on it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of one request.

    Attributes:
        key_id: of the API key; None if the service needs none.
        may_explain: whether answers may show the evidence and every hypothesis.
        may_review: whether the caller may read recent answers, and read and change the rules.
        key_name: the name that was given to the API key; None if the service needs none.
        may_send_feedback: whether the caller may report clicks, engagement and orders.
    """

    key_id: str | None = None
    may_explain: bool = False
    may_review: bool = False
    key_name: str | None = None
    may_send_feedback: bool = False
