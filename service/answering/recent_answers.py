"""The latest answers of this instance, kept in memory for reviewers: what was shown, or why nothing was.

Off by default. The number of answers is a setting, and what is kept of one is bounded: a viewer's pseudonym, ids of
128 characters, and at most MAX_KEPT_QUERIES judged queries.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from service.answering.answer import Answer
from service.answering.normalize import query_key
from service.answering.policy import Judged
from service.outcomes import Degradation, Reason

MAX_KEPT_QUERIES = 32
"""Judged queries that are kept of an answer: all hypotheses of the usual width, and some pinned queries."""


@dataclass(frozen=True, slots=True)
class RecentAnswer:
    """What is kept of an answer.

    Attributes:
        time_ms: Unix milliseconds of the answer.
        request_id: of the caller, or made by the service.
        photo_id: the video.
        viewer: the viewer's pseudonym; None without a viewer, and where user ids are not made into pseudonyms.
        reason: why nothing is shown; None if something is.
        blocked_by: the rule that blocked the video before generation.
        degraded: what was missing or cut.
        judged: the queries with their verdicts, in the order of the policy.
        evidence_version: of the evidence that was read.
        versions: of model, rules, constraints and embedder.
    """

    time_ms: int
    request_id: str
    photo_id: str
    viewer: str | None
    reason: Reason | None
    blocked_by: str | None
    degraded: tuple[Degradation, ...]
    judged: tuple[Judged, ...]
    evidence_version: str | None
    versions: Mapping[str, str | None]

    def to_wire(self) -> dict[str, Any]:
        """Return the answer as ``GET /review/answers`` shows it (``review_wire.ReviewedAnswer``)."""
        return {
            "time_ms": self.time_ms,
            "request_id": self.request_id,
            "photo_id": self.photo_id,
            "viewer": self.viewer,
            "decision": "abstain" if self.reason else "recommend",
            "reason": self.reason,
            "blocked_by": self.blocked_by,
            "degraded": list(self.degraded),
            "queries": [
                {"query": item.query, "score": round(item.score, 6), "verdict": item.verdict, "rule": item.rule}
                for item in self.judged
            ],
            "evidence_version": self.evidence_version,
            **self.versions,
        }


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a reviewer looks for: answers that match everything that is given.

    Attributes:
        photo_id: the video.
        query: a part of a query, shown or dropped; compared without case, width, spaces and punctuation.
        request_id: of the answer.
        limit: number of answers at most.
    """

    photo_id: str | None = None
    query: str | None = None
    request_id: str | None = None
    limit: int = 50

    def matches(self, answer: RecentAnswer) -> bool:
        """Return whether an answer is one of those."""
        if self.photo_id is not None and answer.photo_id != self.photo_id:
            return False
        if self.request_id is not None and answer.request_id != self.request_id:
            return False
        if self.query is None:
            return True
        key = query_key(self.query)
        return bool(key) and any(key in query_key(item.query) for item in answer.judged)


class ReviewedAnswers(Protocol):
    """Where a reviewer finds recent answers."""

    @property
    def source(self) -> str:
        """``memory``: of this instance; ``event_stream``: of all instances."""

    @property
    def capacity(self) -> int:
        """Number of the newest answers that a search looks at."""

    def find(self, wanted: Wanted) -> list[RecentAnswer]:
        """Return the answers that match, newest first. May block."""


class RecentAnswers:
    """A ring of the latest answers of this instance.

    Attributes:
        source: names this kind of memory on the wire.
    """

    source = "memory"

    def __init__(self, capacity: int, *, with_viewers: bool) -> None:
        """Keep at most ``capacity`` answers; without their viewers where user ids are not made into pseudonyms."""
        self._kept: deque[RecentAnswer] = deque(maxlen=capacity)
        self._with_viewers = with_viewers

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def capacity(self) -> int:
        """Number of answers that there is room for."""
        return self._kept.maxlen or 0

    def record(self, answer: Answer, versions: Mapping[str, str | None]) -> None:
        """Keep an answer; the oldest one makes room."""
        self._kept.append(
            RecentAnswer(
                time_ms=round(time.time() * 1000),
                request_id=answer.request_id,
                photo_id=answer.photo_id,
                viewer=answer.user_id if self._with_viewers else None,
                reason=answer.reason,
                blocked_by=answer.blocked_by,
                degraded=tuple(answer.degraded),
                judged=answer.judged[:MAX_KEPT_QUERIES],
                evidence_version=answer.evidence_version,
                versions=versions,
            )
        )

    def find(self, wanted: Wanted) -> list[RecentAnswer]:
        """Return the answers that match, newest first. May run in another thread."""
        return list(islice(filter(wanted.matches, reversed(self._kept.copy())), wanted.limit))
