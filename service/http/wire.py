"""The bodies of the HTTP contract: the batch of requests, and the response models.

The request of one video is ``service/answering/request.py``. The response models document: an answer is written as a
plain dict, which is faster, and the contract tests compare it with these models.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from service.answering.request import RequestBody
from service.outcomes import CacheLookup, Decision, Degradation, Reason

MAX_BATCH = 16


class BatchRequest(RequestBody):
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
