"""The bodies of requests as strict pydantic models, with the limits of each field."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from service.settings import MAX_DEADLINE_MS, MIN_DEADLINE_MS

MAX_QUERIES = 8
DEFAULT_QUERIES = 3
MAX_ID_CHARACTERS = 128
MAX_CAPTION_CHARACTERS = 4096
MAX_TITLE_CHARACTERS = 1024
MAX_SUMMARY_CHARACTERS = 8192
MAX_QUERY_CHARACTERS = 256
MAX_LIST_ITEMS = 64

ID_PATTERN = r"^[A-Za-z0-9_.:@/=+-]+$"
# Captions contain tabs and line breaks; other control characters are not text.
TEXT_PATTERN = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$"
LINE_PATTERN = r"^[^\x00-\x1f\x7f-\x9f]*$"

Identifier = Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARACTERS, pattern=ID_PATTERN)]
Caption = Annotated[str, Field(max_length=MAX_CAPTION_CHARACTERS, pattern=TEXT_PATTERN)]
Title = Annotated[str, Field(max_length=MAX_TITLE_CHARACTERS, pattern=TEXT_PATTERN)]
Summary = Annotated[str, Field(max_length=MAX_SUMMARY_CHARACTERS, pattern=TEXT_PATTERN)]
QueryText = Annotated[str, Field(max_length=MAX_QUERY_CHARACTERS, pattern=LINE_PATTERN)]
QueryList = Annotated[list[QueryText], Field(max_length=MAX_LIST_ITEMS)]


def whole_number(value: Any) -> Any:
    """Convert 3.0 to 3, because JSON does not distinguish integers from floats."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


NumQueries = Annotated[int, Field(ge=1, le=MAX_QUERIES), BeforeValidator(whole_number)]


class RequestBody(BaseModel):
    """The base of every request body: no conversion of types, no unknown fields."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class InlineEvidence(RequestBody):
    """Evidence from the caller. A field given here replaces the stored one; null counts as not given."""

    caption: Caption | None = None
    photo_title: Title | None = None
    title: Title | None = None
    item_title: Title | None = None
    summary: Summary | None = None
    anchors: QueryList | None = Field(default=None, description="Queries of similar videos, best first.")
    histories: QueryList | None = Field(
        default=None, description="Queries issued on this very video, most frequent first."
    )


class RecommendRequest(RequestBody):
    """One video that is about to be watched."""

    photo_id: Identifier = Field(description="The video.")
    user_id: Identifier | None = Field(default=None, description="The viewer, where known.")
    request_id: Identifier | None = Field(
        default=None, description="Returned in the answer; the service makes one if it is missing."
    )
    num_queries: NumQueries = Field(default=DEFAULT_QUERIES, description="The largest number of queries to return.")
    deadline_ms: float | None = Field(
        None,
        ge=MIN_DEADLINE_MS,
        le=MAX_DEADLINE_MS,
        allow_inf_nan=False,
        description="Milliseconds from arrival to answer; the service has a default.",
    )
    evidence: InlineEvidence | None = None
    recent_queries: QueryList | None = Field(default=None, description="Recent queries of the viewer, newest first.")
    explain: bool = Field(
        default=False, description="Whether to return the source text and every hypothesis with its verdict."
    )
    explain_search: bool = Field(
        default=False, description="Whether to return the beam search step by step; it is run for this request alone."
    )
