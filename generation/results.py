"""The answer to one request."""

from __future__ import annotations

from dataclasses import dataclass

from generation.beam import Hypothesis
from generation.search_record import SearchStep


@dataclass(frozen=True, slots=True)
class Generation:
    """The answer to one request.

    Attributes:
        hypotheses: best first. A search that the deadline cut short returns the hypotheses that were complete by then;
            if there were none, open beams with a forced end where an end was likely enough (`Hypothesis.forced`); if
            there were none of those either, nothing.
        reject_probability: P([REJECT]) as the first token; 0 if the first step was not run.
        steps: decoder steps that were run for this request.
        deadline_reached: the search was cut short, so that better hypotheses may be missing.
        encode_seconds: time of the encoder pass and of the first decoder step.
        decode_seconds: time from there to the end, work for other requests included.
        queue_seconds: time from submission to the start of the encoder pass.
        search: every step of the search, in order; None if the request did not ask for it (`record_search`), or if its
            deadline left no time to begin.
    """

    hypotheses: tuple[Hypothesis, ...]
    reject_probability: float
    steps: int
    deadline_reached: bool
    encode_seconds: float
    decode_seconds: float
    queue_seconds: float = 0.0
    search: tuple[SearchStep, ...] | None = None

    @classmethod
    def not_begun(cls, queue_seconds: float = 0.0) -> Generation:
        """Return the answer to a request whose deadline left no time to encode its source."""
        return cls((), 0.0, 0, True, 0.0, 0.0, queue_seconds)
