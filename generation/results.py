"""What a request is answered with."""

from __future__ import annotations

from dataclasses import dataclass

from generation.beam import Hypothesis


@dataclass(frozen=True, slots=True)
class Generation:
    """The answer to one request.

    hypotheses: best first. Where the deadline came first, those that were complete by then; if there were none, open
        beams that were given an end where that was likely enough (`Hypothesis.forced`); or none at all.
    reject_probability: P([REJECT]) as the first token; 0 where the deadline came before the first step.
    steps: decoder steps that were run.
    deadline_reached: the search was cut short, so that better hypotheses may be missing.
    encode_seconds: for encoding and the first step.
    decode_seconds: from there to the end; other requests may have been worked on, too.
    queue_seconds: before anything was done.
    """

    hypotheses: tuple[Hypothesis, ...]
    reject_probability: float
    steps: int
    deadline_reached: bool
    encode_seconds: float
    decode_seconds: float
    queue_seconds: float = 0.0
