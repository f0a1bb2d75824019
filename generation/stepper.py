"""Runs the model for the active requests: they begin one by one and are stepped together.

    begin()  encode one source, decode its first token  ->  Progress, in a lane
    step()   one token for every beam of every request
    end()    free the request's slot

The caller decides the order: the engine for one request, the scheduler's loop for many. For one thread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from generation.backend import Backend, open_sessions
from generation.beam import WHOLE_QUERY_LOGPROB, BeamSearch
from generation.bundle import Bundle
from generation.candidates import Candidates, are_few, drop_forbidden, from_logprobs, need_logprobs
from generation.errors import RequestFailed
from generation.huge_pages import WORTHWHILE, use_huge_pages
from generation.lane import END, REJECT, Lane, LaneShape
from generation.logits_processors import Constraints, LogitsProcessor, forbids, from_options, predicate
from generation.mixture import keep_allowed, least_score
from generation.options import GenerationOptions
from generation.pointer import NOTHING_POINTED, Pointed
from generation.progress import Progress
from generation.request import GenerationRequest
from generation.search_record import cut_by, recorded_step
from generation.tuning import requests_together

POSITIONS_STEP = 4  # caches have room for a multiple of this, so that requests with similar options share a lane
_FIRST_VALUES = 1  # among the encoder's arrays: keys of the first decoder layer, its values, keys of the second, ...
MAX_IDLE_LANES = 4  # with more lanes than this, a lane that becomes empty is freed


class Stepper:
    """Owns the two sessions and the lanes."""

    def __init__(
        self, bundle: Bundle, threads: int, row_budget: int, backend: Backend = "auto", together: int | None = None
    ) -> None:
        """Load the graphs.

        Args:
            bundle: the model.
            threads: intra-op threads of ONNX Runtime.
            row_budget: beams of all requests together; a lane has a slot for each request that fits, and at least one.
            backend: what runs the graphs.
            together: requests that go through the decoder graph at once; None measures the best number.

        Raises:
            BackendError: the backend cannot run this bundle on this machine.
            BundleError: a graph cannot be run.
        """
        self.bundle = bundle
        self.row_budget = row_budget
        self._encoder, self._decoder = open_sessions(bundle, threads, backend)
        self._vocab_size = bundle.architecture.vocab_size
        self._lanes: dict[LaneShape, Lane] = {}
        self._residents: dict[Lane, list[Progress]] = {}
        if bundle.graph_bytes >= WORTHWHILE:
            use_huge_pages()
        usual = self._shape(bundle.generation, 1)
        most = max(1, row_budget // usual.num_beams)
        if together is None:
            together = requests_together(self._decoder, bundle.architecture, usual, most) if most > 1 else 1
        self._together = together

    @property
    def together(self) -> int:
        """Number of requests that go through the decoder graph at once."""
        return self._together

    @property
    def requests(self) -> int:
        """Number of active requests."""
        return sum(lane.taken for lane in self._lanes.values())

    @property
    def rows(self) -> int:
        """Number of beams of all active requests."""
        return sum(lane.taken * lane.shape.num_beams for lane in self._lanes.values())

    def has_room(self, options: GenerationOptions) -> bool:
        """Whether another request fits the row budget. Without active requests, any request does."""
        return not self.requests or self.rows + options.num_beams <= self.row_budget

    def begin(self, request: GenerationRequest) -> Progress:
        """Encode a source and decode its first token. The request must have been checked (`check_request`).

        Raises:
            RequestFailed: the model's output is not a number.
            Exception: what a logits processor or a session raised. The slot is free again.
        """
        specials = self.bundle.special_tokens
        options, source_ids = request.options, request.source_ids
        processors = (*from_options(options, specials), *request.processors)
        constraints = Constraints(processors)
        restricted = constraints.restrictions()
        lane = self._lane(options, len(source_ids))
        encoded = self._encoder.run(source_ids)
        pointed = self._point(encoded, request, processors)
        search = BeamSearch(
            options,
            specials.decoder_start,
            specials.eos,
            pointed.generate,
            least_score(pointed, options),
            pointed.entries,
        )
        slot = lane.join(encoded)
        progress = Progress(request, search, constraints, lane, slot, pointed, restricted=restricted)
        self._residents[lane].append(progress)
        if request.record_search:
            progress.record = []
        try:
            logprobs = constraints.ranks or need_logprobs(restricted, options.num_beams)
            lane.first_step(slot, specials.decoder_start, logprobs=logprobs)
            progress.reject_probability = math.exp(pointed.generate + float(lane.specials[slot, 0, REJECT]))
            self._advance(progress)
        except Exception as error:
            progress.error = error
            self.end(progress)
            raise
        return progress

    def step(self) -> None:
        """Decode one token for every request in every lane. Requests that are over must have been ended."""
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
        usual = next(iter(self._residents))  # the first lane is that of the usual options; it stays
        if not residents and lane is not usual and len(self._lanes) > MAX_IDLE_LANES:
            del self._lanes[lane.shape], self._residents[lane]

    def _point(
        self, encoded: Sequence[NDArray[np.float32]], request: GenerationRequest, processors: Sequence[LogitsProcessor]
    ) -> Pointed:
        """Return what the pointer says about an encoded source, within the constraints of its request."""
        pointer = self.bundle.pointer
        if pointer is None:
            return NOTHING_POINTED
        pointed = pointer.read(encoded[_FIRST_VALUES], request.source_ids)
        return keep_allowed(pointed, request.options, processors, self.bundle.special_tokens.eos)

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
            logprobs |= self._restrict(progress)
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
        """Repeat a step that failed for each request alone, to find out which request made it fail."""
        if len(residents) == 1:
            residents[0].error = error
            return
        for progress in residents:
            try:
                lane.step_alone(progress.slot, logprobs=logprobs)
            except Exception as own:
                progress.error = own

    def _restrict(self, progress: Progress) -> bool:
        """Update the restrictions of a request; return whether it needs the log-probabilities of the next step."""
        constraints, search = progress.constraints, progress.search
        progress.restricted = ()
        if not constraints:
            return False
        try:
            constraints.follow(search.beam_indices, search.tokens)
            if constraints.ranks:
                return True
            progress.restricted = constraints.restrictions()
            return need_logprobs(progress.restricted, progress.request.options.num_beams)
        except Exception as error:
            progress.error = error
            return False

    def _advance(self, progress: Progress) -> None:
        """Continue the search of a request after a step.

        Raises:
            RequestFailed: the model's output is not a number, or a constraint chose a token that does not exist.
            Exception: what a constraint raised.
        """
        search = progress.search
        sums, beams, tokens = candidates = self._candidates(progress)
        # The decoder reads the embedding of each token from memory without a check.
        if progress.constraints and tokens and not 0 <= min(tokens) <= max(tokens) < self._vocab_size:
            raise RequestFailed(f"a constraint chose tokens outside of the vocabulary: {tokens}")
        ended = search.advance(sums, beams, tokens, () if search.has_ended else self._ends(progress))
        if progress.record is not None:
            cut = cut_by(progress.constraints, progress.lane.candidates(progress.slot), candidates, search.wanted)
            progress.record.append(recorded_step(search, ended, cut))

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
        enough = not need_logprobs(restricted, progress.request.options.num_beams)
        most_forbidden = math.inf if enough else len(sums) - wanted
        found = drop_forbidden((sums, beams, tokens), [predicate(r) for r in restricted], wanted, most_forbidden)
        if enough or len(found[0]) == wanted:
            return found
        return from_logprobs(lane.logprobs_of(slot), search.sums, restricted, wanted)
