"""The bodies of the reviewer's API (``review.py``), with the limits of each field."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, model_validator

from service.answering.normalize import query_key
from service.answering.request import LINE_PATTERN, MAX_QUERY_CHARACTERS, Identifier, QueryText, RequestBody
from service.http.wire import ErrorResponse
from service.operating.rules_edit import ChangeKind
from service.outcomes import Decision, Degradation, Reason

AnswersSource = Literal["memory", "event_stream"]
MAX_REASON_CHARACTERS = 500
MAX_ANSWERS = 200
DEFAULT_ANSWERS = 50

# They change the direction of text, break lines or are invisible, so that a reviewer would read another text.
_MISLEADING = re.compile("[\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]")


def _legible(text: str) -> str:
    if found := _MISLEADING.search(text):
        raise ValueError(f"character {found.start()} is U+{ord(found.group()):04X}, which cannot be seen; remove it")
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("it is blank")
    return text


def _version(text: str) -> str:
    if not re.fullmatch("[0-9a-f]{12}", text):
        raise ValueError("it is not a version; send the one that GET /review/rules gives")
    return text


def _with_letters(query: str) -> str:
    if not query_key(query):
        raise ValueError("it has neither a letter nor a digit")
    return query


ReviewedQuery = Annotated[QueryText, AfterValidator(_legible), AfterValidator(_with_letters)]
ReasonText = Annotated[
    str,
    Field(max_length=MAX_REASON_CHARACTERS, pattern=LINE_PATTERN),
    AfterValidator(_legible),
    AfterValidator(_not_blank),
]


class AnswersQuery(RequestBody):
    """The parameters of ``GET /review/answers``; an answer matches all that are given."""

    video: Identifier | None = None
    query: Annotated[str, Field(max_length=MAX_QUERY_CHARACTERS)] | None = None
    request_id: Identifier | None = None
    limit: int = Field(default=DEFAULT_ANSWERS, ge=1, le=MAX_ANSWERS)


class RulesChangeRequest(RequestBody):
    """The body of ``POST /review/rules``."""

    kind: ChangeKind
    query: ReviewedQuery
    photo_id: Identifier | None = Field(default=None, description="The video to pin it on; only with pin and unpin.")
    reason: ReasonText = Field(description="Why; it is recorded with the name of the key.")
    version: Annotated[str, Field(max_length=64), AfterValidator(_version)] = Field(
        description="The version of the rules that the reviewer has read."
    )

    @model_validator(mode="after")
    def _place(self) -> RulesChangeRequest:
        on_video = self.kind in ("pin_query", "unpin_query")
        if on_video and self.photo_id is None:
            raise ValueError(f"{self.kind} needs photo_id, the video")
        if not on_video and self.photo_id is not None:
            raise ValueError(f"{self.kind} holds for all videos; leave photo_id out")
        return self


class ConflictResponse(ErrorResponse):
    """The body of a 409."""

    version: str | None = Field(description="The version of the present rules.")


class ReviewedHypothesis(BaseModel):
    """A query of an answer, with the verdict of the policy."""

    query: str
    score: float
    verdict: Literal["shown", "dropped"]
    rule: str | None


class ReviewedAnswer(BaseModel):
    """A recent answer."""

    time_ms: int = Field(description="Unix milliseconds.")
    request_id: str
    photo_id: str
    viewer: str | None = Field(description="The viewer's pseudonym.")
    decision: Decision
    reason: Reason | None
    blocked_by: str | None
    degraded: list[Degradation]
    queries: list[ReviewedHypothesis] = Field(description="At most 32.")
    evidence_version: str | None
    model_version: str
    rules_version: str | None
    constraints_version: str | None
    embedding_version: str


class AnswersResponse(BaseModel):
    """Recent answers, newest first."""

    answers: list[ReviewedAnswer]
    source: AnswersSource
    capacity: int = Field(description="Number of the newest answers that were looked at, at most.")


class AnswersCapability(BaseModel):
    """Whether recent answers can be read."""

    available: bool
    source: AnswersSource | None = Field(
        description="memory: those of this instance; event_stream: those of all instances."
    )
    capacity: int = Field(description="Number of the newest answers that a search looks at.")
    because: str | None = Field(description="Why not.")


class RulesCapability(BaseModel):
    """Whether the rules can be read and changed."""

    readable: bool
    writable: bool
    kinds: list[ChangeKind] = Field(description="The changes that are possible here.")
    because: str | None = Field(description="Why they cannot be changed.")


class ReviewResponse(BaseModel):
    """What a reviewer can do on this instance."""

    reviewer: str | None = Field(description="The name of the key; null without keys.")
    answers: AnswersCapability
    rules: RulesCapability


class Pin(BaseModel):
    """A pinned query at one place: a video or a category."""

    query: str
    photo_id: str | None
    category: str | None


class RecordedChange(BaseModel):
    """A change that a reviewer made."""

    time_ms: int
    kind: ChangeKind
    query: str
    photo_id: str | None
    reason: str
    who: str
    version_before: str
    version: str


class RulesResponse(BaseModel):
    """The rules in force on this instance."""

    version: str
    fault: str | None = Field(description="Why the present content of the file is not in force; null if it is.")
    blocked_queries: list[str] = Field(description="The last 1,000.")
    blocked_queries_total: int
    blocked_categories: list[str] = Field(description="The last 1,000.")
    pins: list[Pin] = Field(description="The last 1,000.")
    pins_total: int
    changes: list[RecordedChange] = Field(description="The latest 100, newest first.")


class RulesChangeResponse(BaseModel):
    """A change that was made."""

    version: str
    in_force_here: bool
    takes_effect: str
