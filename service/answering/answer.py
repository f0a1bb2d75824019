"""An answer, before it is a body, a header, metrics and an event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from evidence.schema import Evidence
from service.answering.policy import Judged
from service.outcomes import STAGES, CacheLookup, Degradation, Reason

_NO_EVIDENCE = Evidence()


@dataclass(slots=True)
class Answer:
    """What the pipeline found out about one request.

    user_id: the viewer's pseudonym, or the id where ``ONEBAR_PRIVACY__RAW_USER_IDS`` is set.
    seconds: of the stages that were reached.
    cache: what became of it in the result cache; None where it was not asked.
    """

    request_id: str
    photo_id: str
    user_id: str | None
    reason: Reason | None = None
    shown: tuple[Judged, ...] = ()
    judged: tuple[Judged, ...] = ()
    evidence: Evidence = _NO_EVIDENCE
    evidence_version: str | None = None
    source_text: str = ""
    blocked_by: str | None = None
    cache: CacheLookup | None = None
    degraded: list[Degradation] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def decision(self) -> str:
        """``recommend`` or ``abstain``."""
        return "recommend" if self.shown else "abstain"

    def degrade(self, cause: Degradation) -> None:
        """Note once that something was missing."""
        if cause not in self.degraded:
            self.degraded.append(cause)

    def timings_ms(self) -> dict[str, float]:
        """Milliseconds of every stage, 0 for those that were not reached."""
        seconds = self.seconds
        return {stage: round(seconds.get(stage, 0.0) * 1000, 3) for stage in STAGES}

    def to_wire(
        self, model_version: str, timings_ms: Mapping[str, float], constraints: Mapping[str, int] | None
    ) -> dict[str, Any]:
        """The body (``wire.RecommendResponse``); ``constraints`` are those in force, None leaves ``explain`` out."""
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
            }
        return body

    def hypotheses(self) -> list[dict[str, Any]]:
        """Every candidate with its verdict, for explain and for the event."""
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
        """The event: ``fixed`` is what is the same for all answers of this process."""
        return {
            **fixed,
            **request,
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
    """The Server-Timing header of an answer."""
    return ", ".join(f"{stage};dur={duration}" for stage, duration in timings_ms.items())
