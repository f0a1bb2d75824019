"""Requests on their way through a bundle: begun one by one, moved on together, step by step.

    begin()  encode one source, decode its first token  ->  Progress, in a lane
    step()   one token for every beam of every request
    end()    free the request's slot

Whoever drives it decides when: the engine for one request, the scheduler for many. It is for one thread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from generation.backend import Backend, open_sessions
from generation.beam import WHOLE_QUERY_LOGPROB, BeamSearch
from generation.bundle import Bundle
from generation.candidates import Candidates, are_few, drop_forbidden, from_logprobs, need_logprobs
from generation.errors import OptionsError, RequestFailed, SourceError
from generation.huge_pages import WORTHWHILE, use_huge_pages
from generation.lane import END, REJECT, Lane, LaneShape
from generation.logits_processors import Constraints, LogitsProcessor, Restriction, forbids, from_options, predicate
from generation.options import GenerationOptions
from generation.tuning import requests_together

POSITIONS_STEP = 4  # room in a cache is given in multiples of this, so that like options share a lane
MAX_IDLE_LANES = 4  # beyond as many lanes, those that empty are given up


@dataclass(slots=True, eq=False)
class Progress:
    """One request in a lane. error: what made it fail, if it did; it takes no more steps then."""

    options: GenerationOptions
    search: BeamSearch
    constraints: Constraints
    lane: Lane
    slot: int
    reject_probability: float = 0.0
    error: BaseException | None = None
    restricted: Sequence[Restriction] = ()

    @property
    def over(self) -> bool:
        """Whether further steps would change nothing."""
        return self.search.done or self.error is not None


class Stepper:
    """Owns the two sessions and the lanes."""

    def __init__(self, bundle: Bundle, threads: int, row_budget: int, backend: Backend = "auto") -> None:
        """Load the graphs.

        Args:
            bundle: what to run.
            threads: ORT's intra-op threads.
            row_budget: beams of all requests together; a lane has room for as many requests as that makes, but one.
            backend: what runs the graphs.

        Raises:
            BackendError: it cannot be had here.
            BundleError: a graph cannot be run.
        """
        self.bundle = bundle
        self.row_budget = row_budget
        self._encoder, self._decoder = open_sessions(bundle, threads, backend)
        self._lanes: dict[LaneShape, Lane] = {}
        self._residents: dict[Lane, list[Progress]] = {}
        if bundle.graph_bytes >= WORTHWHILE:
            use_huge_pages()
        usual = self._shape(bundle.generation, 1)
        most = max(1, row_budget // usual.num_beams)
        self._together = requests_together(self._decoder, bundle.architecture, usual, most) if most > 1 else 1

    @property
    def requests(self) -> int:
        """Requests in lanes."""
        return sum(lane.taken for lane in self._lanes.values())

    @property
    def rows(self) -> int:
        """Beams of all of them."""
        return sum(lane.taken * lane.shape.num_beams for lane in self._lanes.values())

    def has_room(self, options: GenerationOptions) -> bool:
        """Whether another request fits the row budget; one always does where there is none."""
        return not self.requests or self.rows + options.num_beams <= self.row_budget

    def begin(
        self,
        source_ids: Sequence[int],
        options: GenerationOptions,
        processors: Sequence[LogitsProcessor] = (),
    ) -> Progress:
        """Encode a source and decode its first token. Source and options must have been checked.

        Raises:
            Exception: whatever a processor raises; nothing is left behind.
        """
        specials = self.bundle.special_tokens
        search = BeamSearch(options, specials.decoder_start, specials.eos)
        constraints = Constraints((*from_options(options, specials), *processors))
        restricted = constraints.restrictions()
        lane = self._lane(options, len(source_ids))
        slot = lane.join(self._encoder.run(source_ids))
        progress = Progress(options, search, constraints, lane, slot, restricted=restricted)
        self._residents[lane].append(progress)
        try:
            logprobs = constraints.ranks or need_logprobs(restricted, options.num_beams)
            lane.first_step(slot, specials.decoder_start, logprobs=logprobs)
            progress.reject_probability = math.exp(float(lane.specials[slot, 0, REJECT]))
            self._advance(progress)
        except Exception as error:
            progress.error = error
            self.end(progress)
            raise
        return progress

    def step(self) -> None:
        """Move every request in every lane on by one token. Requests that are over must have been ended."""
        for lane, residents in self._residents.items():
            if residents:
                self._step_lane(lane, residents)

    def end(self, progress: Progress) -> None:
        """Free the slot of a request."""
        lane, residents = progress.lane, self._residents[progress.lane]
        if progress.error is not None:
            lane.clear(progress.slot)
        lane.leave(progress.slot)
        moved = residents.pop()
        if moved is not progress:
            moved.slot = progress.slot
            residents[moved.slot] = moved
        usual = next(iter(self._residents))  # what was asked for first is what is asked for most
        if not residents and lane is not usual and len(self._lanes) > MAX_IDLE_LANES:
            del self._lanes[lane.shape], self._residents[lane]

    def check(self, source_ids: Sequence[int], options: GenerationOptions) -> None:
        """Check a request before anything is done for it.

        Raises:
            OptionsError: the model cannot be searched in this way.
            SourceError: the source is empty, too long, or has ids that the model does not know.
        """
        check_options(self.bundle, options)
        check_source(self.bundle, source_ids)

    def _shape(self, options: GenerationOptions, length: int) -> LaneShape:
        longest = self.bundle.architecture.max_positions
        usual = min(self.bundle.render_budgets.max_source_tokens, longest)
        return LaneShape(
            num_beams=options.num_beams,
            positions=-(-options.max_new_tokens // POSITIONS_STEP) * POSITIONS_STEP,
            source_tokens=usual if length <= usual else longest,
        )

    def _lane(self, options: GenerationOptions, length: int) -> Lane:
        shape = self._shape(options, length)
        if shape not in self._lanes:
            slots = max(1, self.row_budget // options.num_beams)
            lane = Lane(self._decoder, self.bundle.architecture, shape, slots, self._together)
            self._lanes[shape] = lane
            self._residents[lane] = []
        return self._lanes[shape]

    def _step_lane(self, lane: Lane, residents: list[Progress]) -> None:
        beams = lane.shape.num_beams
        tokens, parents, sums = [], [], []
        logprobs = False
        for progress in residents:
            search = progress.search
            self._restrict(progress)
            logprobs = logprobs or progress.constraints.ranks or need_logprobs(progress.restricted, beams)
            missing = beams - len(search.tokens)
            tokens.append(search.tokens + [0] * missing)
            parents.append(search.beam_indices + [0] * missing)
            sums.append(search.sums + [-math.inf] * missing)
        try:
            lane.step(tokens, parents, sums, logprobs=logprobs)
        except Exception as error:
            self._step_one_by_one(lane, residents, error, logprobs=logprobs)
        for progress in residents:
            if progress.error is None:
                try:
                    self._advance(progress)
                except Exception as error:
                    progress.error = error

    def _step_one_by_one(self, lane: Lane, residents: list[Progress], error: Exception, *, logprobs: bool) -> None:
        """Find out whose failure a failed step is."""
        if len(residents) == 1:
            residents[0].error = error
            return
        for progress in residents:
            try:
                lane.step_alone(progress.slot, logprobs=logprobs)
            except Exception as own:
                progress.error = own

    def _restrict(self, progress: Progress) -> None:
        constraints, search = progress.constraints, progress.search
        progress.restricted = ()
        if constraints:
            try:
                constraints.follow(search.beam_indices, search.tokens)
                if not constraints.ranks:
                    progress.restricted = constraints.restrictions()
            except Exception as error:
                progress.error = error

    def _advance(self, progress: Progress) -> None:
        search = progress.search
        search.advance(*self._candidates(progress), () if search.has_ended else self._ends(progress))

    def _ends(self, progress: Progress) -> list[float]:
        """Return the log-probability of the end of each open beam, minus infinity where it is forbidden."""
        lane, eos = progress.lane, self.bundle.special_tokens.eos
        ends: list[float] = lane.specials[progress.slot, : len(progress.search.tokens), END].tolist()
        restricted = progress.restricted
        if progress.constraints.ranks and max(ends) >= WHOLE_QUERY_LOGPROB:
            restricted = progress.constraints.restrictions()
        for beam, restriction in enumerate(restricted):
            if ends[beam] >= WHOLE_QUERY_LOGPROB and forbids(restriction, eos):
                ends[beam] = -math.inf
        return ends

    def _candidates(self, progress: Progress) -> Candidates:
        """Return the best continuations that the request's constraints leave."""
        search, restricted, lane, slot = progress.search, progress.restricted, progress.lane, progress.slot
        wanted = search.wanted
        if math.isnan(lane.sums[slot, 0]):
            raise RequestFailed("the model's output is not a number")
        if progress.constraints.ranks:
            return progress.constraints.rank(lane.logprobs_of(slot), search.sums, wanted)
        if restricted and are_few(restricted):
            return from_logprobs(lane.logprobs_of(slot), search.sums, restricted, wanted)
        sums, beams, tokens = lane.candidates(slot)
        if sums[-1] == -math.inf:  # fewer beams are open than there is room for
            count = sums.index(-math.inf)
            sums, beams, tokens = sums[:count], beams[:count], tokens[:count]
        if not restricted:
            return sums[:wanted], beams[:wanted], tokens[:wanted]
        enough = not need_logprobs(restricted, progress.options.num_beams)
        most_forbidden = math.inf if enough else len(sums) - wanted
        found = drop_forbidden((sums, beams, tokens), [predicate(r) for r in restricted], wanted, most_forbidden)
        if enough or len(found[0]) == wanted:
            return found
        return from_logprobs(lane.logprobs_of(slot), search.sums, restricted, wanted)


def check_options(bundle: Bundle, options: GenerationOptions) -> None:
    """Check options against the model, so that a caller can refuse them before anything is queued.

    Raises:
        OptionsError: the model cannot be searched in this way.
    """
    sizes = bundle.architecture
    if options.max_new_tokens > sizes.max_positions:
        raise OptionsError(
            f"max_new_tokens must be at most the model's {sizes.max_positions}, got {options.max_new_tokens}"
        )
    if 3 * options.num_beams > sizes.vocab_size:
        raise OptionsError(
            f"num_beams must be at most a third of the vocabulary's {sizes.vocab_size}, got {options.num_beams}"
        )


def check_source(bundle: Bundle, source_ids: Sequence[int]) -> None:
    """Check that the model can read a source.

    Raises:
        SourceError: it is empty, too long, or has ids that the model does not know.
    """
    sizes = bundle.architecture
    if not 1 <= len(source_ids) <= sizes.max_positions:
        raise SourceError(f"a source must have 1 to {sizes.max_positions} tokens, got {len(source_ids)}")
    if min(source_ids) < 0 or max(source_ids) >= sizes.vocab_size:
        raise SourceError(f"a source must hold token ids from 0 to {sizes.vocab_size - 1}")
