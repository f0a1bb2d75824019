"""The bodies of ``POST /feedback``, with the limits of each field."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, model_validator

from service.answering.request import (
    LINE_PATTERN,
    MAX_QUERIES,
    MAX_QUERY_CHARACTERS,
    Identifier,
    RequestBody,
    whole_number,
)

FeedbackKind = Literal["click", "engagement", "order"]
"""What a viewer did: ``click`` on a query; ``engagement`` with an item of its results; ``order`` of one."""

MAX_ORDER_VALUE = 1e9
LAST_TIME_MS = 2**53 - 1
"""The largest whole number that every JSON reader keeps exactly."""

_NAMES_A_QUERY: JsonValue = {
    "anyOf": [
        {"required": ["rank"], "properties": {"rank": {"type": "integer"}}},
        {"required": ["query"], "properties": {"query": {"type": "string"}}},
    ]
}
_ORDERS_HAVE_A_VALUE: JsonValue = {
    "anyOf": [
        {
            "required": ["order_value"],
            "properties": {"event": {"const": "order"}, "order_value": {"type": "number"}},
        },
        {"properties": {"event": {"enum": ["click", "engagement"]}, "order_value": {"type": "null"}}},
    ]
}


class FeedbackRequest(RequestBody):
    """One thing that a viewer did with a shown query."""

    model_config = ConfigDict(json_schema_extra={"allOf": [_NAMES_A_QUERY, _ORDERS_HAVE_A_VALUE]})

    request_id: Identifier = Field(description="Of the answer that showed the query.")
    event: FeedbackKind
    rank: Annotated[int, Field(ge=1, le=MAX_QUERIES), BeforeValidator(whole_number)] | None = Field(
        default=None, description="The rank of the query in that answer. `rank` or `query` is required."
    )
    query: Annotated[str, Field(min_length=1, max_length=MAX_QUERY_CHARACTERS, pattern=LINE_PATTERN)] | None = Field(
        default=None, description="The query as that answer had it."
    )
    event_id: Identifier | None = Field(
        default=None,
        description="Events with the same request, kind, query and `event_id` count once. Name the order here, so that"
        " a second order counts.",
    )
    time_ms: Annotated[int, Field(ge=0, le=LAST_TIME_MS), BeforeValidator(whole_number)] | None = Field(
        default=None, description="When it happened, in Unix milliseconds; by default the arrival of the request."
    )
    order_value: float | None = Field(
        default=None,
        ge=0,
        le=MAX_ORDER_VALUE,
        allow_inf_nan=False,
        description="Value of the order; required with `order`, and only there.",
    )

    @model_validator(mode="after")
    def _complete(self) -> FeedbackRequest:
        if self.rank is None and self.query is None:
            raise ValueError("it names no query; send its `rank` or its text in `query`")
        if self.event == "order" and self.order_value is None:
            raise ValueError("an `order` needs `order_value`; add it, 0 if it is not known")
        if self.event != "order" and self.order_value is not None:
            raise ValueError("only an `order` has `order_value`; leave it out")
        return self

    def to_event(self, received_ms: int, key_id: str | None) -> dict[str, Any]:
        """Return the event for the sink (docs/data_formats.md).

        Args:
            received_ms: arrival of the request, in Unix milliseconds.
            key_id: of the API key of the caller; None without one.
        """
        return {
            "kind": "feedback",
            "time_ms": received_ms,
            "request_id": self.request_id,
            "event": self.event,
            "event_id": self.event_id,
            "rank": self.rank,
            "query": self.query,
            "happened_ms": received_ms if self.time_ms is None else self.time_ms,
            "order_value": self.order_value,
            "key_id": key_id,
        }


class FeedbackResponse(BaseModel):
    """The event has the right form and waits to be written. Whether it counts is decided at the export."""

    status: Literal["accepted"]
    request_id: str
    event: FeedbackKind
