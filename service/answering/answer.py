"""The answer to a request, and its forms: the body, the Server-Timing header, and the event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from evidence.schema import Evidence
from service.answering.explanation import Details
from service.answering.policy import Judged
from service.outcomes import STAGES, CacheLookup, Degradation, Reason

_NO_EVIDENCE = Evidence()


@dataclass(slots=True)
class Answer:
    """The answer to one request. The pipeline fills it in.

    Attributes:
        request_id: of the caller, or made by the service.
        photo_id: the video.
        user_id: the viewer's pseudonym, or the id if ``ONEBAR_PRIVACY__RAW_USER_IDS`` is set; None if not known.
        category: of the video, as it is stored.
        reason: why nothing is shown.
        shown: the queries to show, best first.
        judged: every hypothesis with its verdict.
        evidence: the evidence after cleaning.
        evidence_version: 12 hex digits of the evidence.
        rules_version: of the rules that decided about it; None without rules.
        source_text: the rendered source.
        blocked_by: the rule that blocked the video before generation.
        cache: the result of the lookup in the result cache; None without a lookup.
        search: the beam search on the wire, for ``explain_search``; None if none was begun.
        degraded: what was missing or cut short.
        seconds: time of each request stage that was reached.
        details: what only ``explain`` shows; None if the request does not ask for it.
    """

    request_id: str
    photo_id: str
    user_id: str | None
    category: str | None = None
    reason: Reason | None = None
    shown: tuple[Judged, ...] = ()
    judged: tuple[Judged, ...] = ()
    evidence: Evidence = _NO_EVIDENCE
    evidence_version: str | None = None
    rules_version: str | None = None
    source_text: str = ""
    blocked_by: str | None = None
    cache: CacheLookup | None = None
    search: dict[str, Any] | None = None
    degraded: list[Degradation] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    details: Details | None = None

    @property
    def decision(self) -> str:
        """``recommend`` or ``abstain``."""
        return "recommend" if self.shown else "abstain"

    def degrade(self, cause: Degradation) -> None:
        """Add a cause of degradation, once."""
        if cause not in self.degraded:
            self.degraded.append(cause)

    def timings_ms(self) -> dict[str, float]:
        """Return the milliseconds of every stage, 0 for those that were not reached."""
        seconds = self.seconds
        return {stage: round(seconds.get(stage, 0.0) * 1000, 3) for stage in STAGES}

    def to_wire(
        self,
        model_version: str,
        timings_ms: Mapping[str, float],
        constraints: Mapping[str, int] | None,
        *,
        with_search: bool = False,
    ) -> dict[str, Any]:
        """Return the body (``wire.RecommendResponse``).

        Args:
            model_version: of the bundle.
            timings_ms: the milliseconds of each stage.
            constraints: those in force, for ``explain``; None leaves ``explain`` out.
            with_search: whether ``search`` is in the body.
        """
        body: dict[str, Any] = {
            "request_id": self.request_id,
            "photo_id": self.photo_id,
            "decision": self.decision,
            "reason": self.reason,
            "queries": [
                {"rank": rank, "query": item.query, "score": round(item.score, 6)}
                for rank, item in enumerate(self.shown, start=1)
            ],
            "model_version": model_version,
            "evidence_version": self.evidence_version,
            "degraded": self.degraded,
            "timings_ms": timings_ms,
        }
        if constraints is not None:
            body["explain"] = {
                "source_text": self.source_text,
                "evidence": {
                    "text": self.evidence.text,
                    "summary": self.evidence.summary,
                    "anchors": self.evidence.anchors,
                    "histories": self.evidence.histories,
                    "personal": self.evidence.personal,
                },
                "hypotheses": self.hypotheses(),
                "blocked_by": self.blocked_by,
                "constraints": constraints,
                "cache": self.cache,
                **(self.details or Details()).to_wire(),
            }
        if with_search:
            body["search"] = self.search
        return body

    def hypotheses(self) -> list[dict[str, Any]]:
        """Return every hypothesis with its verdict, for ``explain`` and for the event."""
        return [
            {
                "query": item.query,
                "score": round(item.score, 6),
                "verdict": item.verdict,
                "rule": item.rule,
                "forced": item.forced,
            }
            for item in self.judged
        ]

    def to_event(
        self, fixed: Mapping[str, Any], timings_ms: Mapping[str, float], request: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the event.

        Args:
            fixed: fields that are the same for all answers of this process.
            timings_ms: the milliseconds of each stage.
            request: fields of the request.
        """
        return {
            **fixed,
            **request,
            "kind": "answer",
            "request_id": self.request_id,
            "photo_id": self.photo_id,
            "user_id": self.user_id,
            "decision": self.decision,
            "reason": self.reason,
            "blocked_by": self.blocked_by,
            "cache": self.cache,
            "evidence_version": self.evidence_version,
            "degraded": self.degraded,
            "hypotheses": self.hypotheses(),
            "timings_ms": timings_ms,
        }


def server_timing(timings_ms: Mapping[str, float]) -> str:
    """Return the value of the Server-Timing header."""
    return ", ".join(f"{stage};dur={duration}" for stage, duration in timings_ms.items())
