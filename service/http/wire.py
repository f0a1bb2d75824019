"""The bodies of the HTTP contract: the batch of requests, and the response models.

The request of one video is in ``service/answering/request.py``. The response models only document: an answer is built
as a plain dict, which is faster, and the contract tests compare it with these models.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from service.answering.request import RequestBody
from service.outcomes import CacheLookup, Decision, Degradation, Reason

MAX_BATCH = 16


class BatchRequest(RequestBody):
    """Up to 16 requests of one feed page."""

    # Each item is validated separately, so that an invalid one does not fail the others.
    requests: list[Any] = Field(
        min_length=1,
        max_length=MAX_BATCH,
        description="Bodies of /recommend. The outcome of an invalid one is 422; the others are answered.",
        json_schema_extra={"items": {"anyOf": [{"$ref": "#/components/schemas/RecommendRequest"}, {}]}},
    )


class QueryAnswer(BaseModel):
    """One query of the bar."""

    rank: int = Field(ge=1, description="1 is the best.")
    query: str
    score: float = Field(description="Log-probability, normalised as the bundle specifies; 0 for a pinned query.")


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
    """One hypothesis and the verdict of the policy."""

    query: str
    score: float
    verdict: Literal["shown", "dropped"]
    rule: str | None = Field(description="The rule that dropped or pinned it.")
    forced: bool = Field(description="Whether the deadline ended it, at a token after which an end was likely.")


class ConstraintsInForce(BaseModel):
    """The constraints on decoding."""

    prohibited_phrases: int = Field(description="Number of prohibited terms that cannot be generated; 0 is off.")
    query_set: int = Field(description="Number of queries in the set to which decoding is restricted; 0 is off.")
    min_new_tokens: int
    no_repeat_ngram_size: int = Field(description="0 is off.")


class GivenFields(BaseModel):
    """The fields before cleaning: stored, or of the request where it has them."""

    caption: str
    photo_title: str
    title: str
    item_title: str
    summary: str
    anchors: list[str]
    histories: list[str]
    queries: list[str] = Field(description="Past queries of the viewer, newest first, those of the request in front.")
    category: str


class SourceSegment(BaseModel):
    """One field of the source, as the model reads it."""

    field: Literal["text", "summary", "anchors", "histories", "personal"]
    text: str = Field(description="What its tokens spell: the cleaned field, cut by its budget.")
    tokens: int
    budget: int = Field(description="The largest number of tokens that it may take.")
    truncated: bool = Field(description="Whether the budget cut it.")


class Rejection(BaseModel):
    """The decision of the model to show nothing."""

    probability: float = Field(description="P([REJECT]) at the first step.")
    threshold: float = Field(description="At this probability or above it, nothing is shown.")


class Explanation(BaseModel):
    """How the answer was made."""

    source_text: str
    evidence: ExplainedEvidence
    hypotheses: list[ExplainedHypothesis]
    blocked_by: str | None = Field(description="The rule that blocked this video before generation.")
    constraints: ConstraintsInForce
    cache: CacheLookup | None = Field(
        description="hit: the hypotheses of an equal earlier request; joined: those of an equal request in progress; "
        "miss: generated for this request; null: the cache was not used."
    )
    fields: GivenFields | None = Field(description="null if the video is blocked before its fields are read.")
    segments: list[SourceSegment] = Field(description="The five fields of the source; none without evidence.")
    rejection: Rejection | None = Field(description="null if nothing was generated.")


class SearchBeam(BaseModel):
    """A sequence that was open after a step."""

    token_id: int
    token: str = Field(description="The text that the token adds; U+FFFD where it is a part of a character.")
    parent: int = Field(ge=0, description="The beam of the step before that it continues, from 0; 0 at the first step.")
    sum_logprob: float = Field(description="Sum of the log-probabilities of all its tokens.")


class SearchEnded(SearchBeam):
    """A candidate that ended at a step and became a hypothesis."""

    query: str
    score: float
    finished: bool = Field(description="Whether it has an end; false if max_new_tokens cut it.")
    rank: int | None = Field(description="Its place in `hypotheses`; null if better ones took its place.")


class SearchCut(SearchBeam):
    """A continuation that constraints forbade and that would have been a candidate otherwise."""

    constraints: list[str] = Field(description="The constraints that forbid it, at least one.")


class SearchStep(BaseModel):
    """One step of the search; each list is in falling order of `sum_logprob`."""

    beams: list[SearchBeam] = Field(description="At most `width`.")
    ended: list[SearchEnded] = Field(description="At most `width`.")
    cut: list[SearchCut] = Field(description="At most three times `width`.")


class SearchHypothesis(BaseModel):
    """A hypothesis that the policy was given."""

    rank: int = Field(ge=1, description="1 is the best.")
    query: str
    score: float
    finished: bool
    forced: bool = Field(description="Whether the deadline ended it.")
    pointed: float = Field(ge=0, le=1, description="Share of its probability that the pointer to whole entries has.")
    step: int | None = Field(ge=1, description="The step at which it ended, from 1; null: an entry no beam reached.")
    parent: int | None = Field(ge=0, description="The beam of the step before that it continues; null as `step`.")


class Search(BaseModel):
    """The beam search, step by step."""

    width: int = Field(description="Open beams that are kept.")
    max_new_tokens: int = Field(description="Steps at most.")
    length_penalty: float = Field(description="score = sum_logprob / steps ** length_penalty.")
    reject_probability: float = Field(description="P([REJECT]) as the first token.")
    reject_threshold: float = Field(description="From this probability on, the service abstains.")
    cut_by_deadline: bool
    steps: list[SearchStep] = Field(description="At most `max_new_tokens`.")
    hypotheses: list[SearchHypothesis] = Field(description="At most `width`, best first.")


class RecommendResponse(BaseModel):
    """What to show below the video, or nothing."""

    request_id: str
    photo_id: str
    decision: Decision
    reason: Reason | None = Field(description="Why nothing is shown; null with a recommendation.")
    queries: list[QueryAnswer]
    model_version: str
    evidence_version: str | None = Field(description="12 hex digits of the evidence used; null without evidence.")
    degraded: list[Degradation] = Field(description="What was missing, or whether the deadline cut the search.")
    timings_ms: Timings
    explain: Explanation | None = None
    search: Search | None = Field(
        default=None, description="Only with `explain_search`; null if no search was begun for this request."
    )


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
    """The outcome of one request of a batch: a response with status 200, or an error with another status."""

    status: int
    response: RecommendResponse | None = None
    error: ErrorResponse | None = None


class BatchResponse(BaseModel):
    """One outcome for each request, in the order of the requests."""

    results: list[BatchOutcome]


class HealthResponse(BaseModel):
    """Whether the process works."""

    status: Literal["ok"]


class ReadyResponse(BaseModel):
    """Whether this instance takes requests."""

    status: Literal["ready"]


class VersionResponse(BaseModel):
    """The versions and constraints of the running service."""

    service_version: str
    model_version: str
    precision: str
    backend: str
    embedding_version: str
    rules_version: str | None
    prohibited_terms: int
    constraints: ConstraintsInForce
    constraints_version: str | None


class ShadowState(BaseModel):
    """The candidate that answers a copy of some requests."""

    bundle: str
    share: float
    running: bool = Field(description="Whether it is in memory; false during a change of the served bundle.")
    fault: str | None


class BundleResponse(BaseModel):
    """The bundle that this instance serves, and the promoted one."""

    model_version: str
    bundle: str = Field(description="The folder of the served bundle.")
    promoted: str | None = Field(description="The model version in the record; null for the bundle of the settings.")
    promoted_at: str | None
    reason: str | None
    state: Literal["idle", "loading", "draining"] = Field(
        description="`loading`: the promoted bundle is loaded and checked. `draining`: it is served, and requests that"
        " began before end with the old one."
    )
    fault: str | None = Field(description="Why the promoted bundle is not served; null if it is.")
    shadow: ShadowState | None = Field(description="Null without a candidate.")
