"""The bodies of the HTTP contract, as strict pydantic models.

The request models validate; the response models document (the answer itself is written as a plain dict, which is
faster, and the contract tests hold it to these models).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

MAX_BATCH = 16
MAX_QUERIES = 8
DEFAULT_QUERIES = 3
MIN_DEADLINE_MS = 1
MAX_DEADLINE_MS = 10_000
MAX_ID_CHARACTERS = 128
MAX_CAPTION_CHARACTERS = 4096
MAX_TITLE_CHARACTERS = 1024
MAX_SUMMARY_CHARACTERS = 8192
MAX_QUERY_CHARACTERS = 256
MAX_LIST_ITEMS = 64

ID_PATTERN = r"^[A-Za-z0-9_.:@/=+-]+$"
# Tabs and line breaks are part of how people type captions; other control characters are not text.
TEXT_PATTERN = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$"
LINE_PATTERN = r"^[^\x00-\x1f\x7f-\x9f]*$"

Identifier = Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARACTERS, pattern=ID_PATTERN)]
Caption = Annotated[str, Field(max_length=MAX_CAPTION_CHARACTERS, pattern=TEXT_PATTERN)]
Title = Annotated[str, Field(max_length=MAX_TITLE_CHARACTERS, pattern=TEXT_PATTERN)]
Summary = Annotated[str, Field(max_length=MAX_SUMMARY_CHARACTERS, pattern=TEXT_PATTERN)]
QueryText = Annotated[str, Field(max_length=MAX_QUERY_CHARACTERS, pattern=LINE_PATTERN)]
QueryList = Annotated[list[QueryText], Field(max_length=MAX_LIST_ITEMS)]


def _whole(value: Any) -> Any:
    """JSON has one kind of number: 3.0 is as whole as 3."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


NumQueries = Annotated[int, Field(ge=1, le=MAX_QUERIES), BeforeValidator(_whole)]

Decision = Literal["recommend", "abstain"]
Reason = Literal["model_reject", "no_evidence", "all_filtered", "deadline"]
Degradation = Literal[
    "feature_store_timeout",
    "feature_store_down",
    "feature_store_busy",
    "photo_field_unreadable",
    "user_unreadable",
    "shown_unreadable",
    "embedding_version",
    "deadline",
]
CacheLookup = Literal["hit", "joined", "miss"]
REASONS: tuple[Reason, ...] = get_args(Reason)
DEGRADATIONS: tuple[Degradation, ...] = get_args(Degradation)
CACHE_LOOKUPS: tuple[CacheLookup, ...] = get_args(CacheLookup)
STAGES = ("feature_store", "render", "queue", "encode", "decode", "policy", "total")


class _Request(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class InlineEvidence(_Request):
    """Evidence that the caller has at hand. A field given here wins over the stored one; null is not given."""

    caption: Caption | None = None
    photo_title: Title | None = None
    title: Title | None = None
    item_title: Title | None = None
    summary: Summary | None = None
    anchors: QueryList | None = Field(default=None, description="Queries of similar videos, best first.")
    histories: QueryList | None = Field(
        default=None, description="Queries issued on this very video, most frequent first."
    )


class RecommendRequest(_Request):
    """One video that is about to be watched."""

    photo_id: Identifier = Field(description="The video.")
    user_id: Identifier | None = Field(default=None, description="The viewer, where known.")
    request_id: Identifier | None = Field(
        default=None, description="Comes back in the answer; made here where missing."
    )
    num_queries: NumQueries = Field(default=DEFAULT_QUERIES, description="The most queries to return.")
    deadline_ms: float | None = Field(
        None,
        ge=MIN_DEADLINE_MS,
        le=MAX_DEADLINE_MS,
        allow_inf_nan=False,
        description="Milliseconds from arrival to answer; the service has a default.",
    )
    evidence: InlineEvidence | None = None
    recent_queries: QueryList | None = Field(
        default=None, description="What the viewer searched for lately, newest first."
    )
    explain: bool = Field(
        default=False, description="Whether to return the source text and every hypothesis with its verdict."
    )


class BatchRequest(_Request):
    """Up to 16 requests of one feed page."""

    # Each is validated by itself, so that one bad request of a page does not cost the others their answers.
    requests: list[Any] = Field(
        min_length=1,
        max_length=MAX_BATCH,
        description="Bodies of /recommend. One that is not valid gets the status 422 as its own outcome.",
        json_schema_extra={"items": {"anyOf": [{"$ref": "#/components/schemas/RecommendRequest"}, {}]}},
    )


class QueryAnswer(BaseModel):
    """One query of the bar."""

    rank: int = Field(ge=1, description="1 is the best.")
    query: str
    score: float = Field(description="Log-probability, normalised as the bundle has it; 0 for a pinned query.")


class Timings(BaseModel):
    """Milliseconds in each stage; 0 for one that was not reached."""

    feature_store: float
    render: float
    queue: float
    encode: float
    decode: float
    policy: float
    total: float


class ExplainedEvidence(BaseModel):
    """The evidence after cleaning, as the model read it."""

    text: str
    summary: str
    anchors: list[str]
    histories: list[str]
    personal: list[str]


class ExplainedHypothesis(BaseModel):
    """One candidate and what the policy did with it."""

    query: str
    score: float
    verdict: Literal["shown", "dropped"]
    rule: str | None = Field(description="The rule that dropped or pinned it.")
    forced: bool = Field(description="Whether the deadline ended it where its end was likely, instead of the model.")


class ConstraintsInForce(BaseModel):
    """What held for the decoder."""

    prohibited_phrases: int = Field(description="Prohibited terms that cannot be written; 0 is off.")
    query_set: int = Field(description="Queries that are all that can be written; 0 is off.")
    min_new_tokens: int
    no_repeat_ngram_size: int = Field(description="0 is off.")


class Explanation(BaseModel):
    """Why the answer is what it is."""

    source_text: str
    evidence: ExplainedEvidence
    hypotheses: list[ExplainedHypothesis]
    blocked_by: str | None = Field(description="The rule that stopped this video before anything was generated.")
    constraints: ConstraintsInForce
    cache: CacheLookup | None = Field(
        description="Whether the hypotheses are those of an equal request before (hit), of one in progress (joined), "
        "or were generated (miss); null where the cache was not asked."
    )


class RecommendResponse(BaseModel):
    """What to show below the video, or nothing."""

    request_id: str
    photo_id: str
    decision: Decision
    reason: Reason | None = Field(description="Why nothing is shown; null with a recommendation.")
    queries: list[QueryAnswer]
    model_version: str
    evidence_version: str | None = Field(description="12 hex digits of the evidence used; null where there was none.")
    degraded: list[Degradation] = Field(description="What was missing or cut when this answer was made.")
    timings_ms: Timings
    explain: Explanation | None = None


class FaultResponse(BaseModel):
    """One fault of a request."""

    field: str
    message: str


class ErrorResponse(BaseModel):
    """The body of every answer that is not a success."""

    error: str
    message: str
    errors: list[FaultResponse]
    request_id: str | None
    retry_after_ms: float | None = None


class BatchOutcome(BaseModel):
    """What became of one request of a batch: a response with status 200, or an error with another status."""

    status: int
    response: RecommendResponse | None = None
    error: ErrorResponse | None = None


class BatchResponse(BaseModel):
    """One outcome for each request, in their order."""

    results: list[BatchOutcome]


class HealthResponse(BaseModel):
    """Whether the process works."""

    status: Literal["ok"]


class ReadyResponse(BaseModel):
    """Whether this instance takes requests."""

    status: Literal["ready"]


class VersionResponse(BaseModel):
    """What is running here."""

    service_version: str
    model_version: str
    precision: str
    backend: str
    embedding_version: str
    rules_version: str | None
    prohibited_terms: int
    constraints: ConstraintsInForce
    constraints_version: str | None
