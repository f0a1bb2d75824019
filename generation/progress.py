"""The state of one request in a lane, from its encoder pass to its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from generation.beam import BeamSearch
from generation.lane import Lane
from generation.logits_processors import Constraints, Restriction
from generation.mixture import add_entries
from generation.pointer import NOTHING_POINTED, Pointed
from generation.request import GenerationRequest
from generation.results import Generation
from generation.search_record import SearchStep


@dataclass(slots=True, eq=False)
class Progress:
    """One request that has a slot in a lane.

    Attributes:
        request: what was asked for.
        search: its beam search.
        constraints: the states of its logits processors.
        lane: where its keys and values are.
        slot: its number in the lane; it changes when another request leaves the lane.
        pointed: what the pointer says about the source.
        reject_probability: P([REJECT]) as the first token.
        error: what made the request fail, or None. A failed request takes no more steps.
        restricted: what may not continue each open beam at the present step.
        record: the steps of the search so far; None if the request does not ask for them.
    """

    request: GenerationRequest
    search: BeamSearch
    constraints: Constraints
    lane: Lane
    slot: int
    pointed: Pointed = NOTHING_POINTED
    reject_probability: float = 0.0
    error: BaseException | None = None
    restricted: Sequence[Restriction] = ()
    record: list[SearchStep] | None = None

    @property
    def over(self) -> bool:
        """Whether further steps would change nothing."""
        return self.search.done or self.error is not None

    def generation(self, *, submitted: float, began: float, encoded: float, ended: float) -> Generation:
        """Return the answer as it stands now. A search that is not done counts as cut short by its deadline.

        Args:
            submitted: instant at which the request was submitted, in seconds of the engine's clock.
            began: instant at which its encoder pass began.
            encoded: instant at which its first decoder step had ended.
            ended: now.
        """
        search = self.search
        found = search.hypotheses() if search.done else search.forced()
        return Generation(
            hypotheses=add_entries(found, self.pointed, self.request.options, search.ended_entries),
            reject_probability=self.reject_probability,
            steps=search.steps,
            deadline_reached=not search.done,
            encode_seconds=encoded - began,
            decode_seconds=ended - encoded,
            queue_seconds=began - submitted,
            search=None if self.record is None else tuple(self.record),
        )
