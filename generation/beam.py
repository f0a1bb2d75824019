"""Beam search for one request, on the host: what transformers 4.57 `_beam_search` does, without its tensors.

The model's part ends in the graph with the best continuations over all beams of the request. What is left is
bookkeeping over some sixteen candidates, for which plain Python beats numpy's cost per call.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

from generation.options import GenerationOptions


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One generated sequence.

    token_ids: generated tokens without the end-of-sequence token.
    sum_logprobs: sum of the log-probabilities of its tokens, the end-of-sequence token among them.
    score: sum_logprobs / (number of generated tokens, the end among them) ** length_penalty.
    finished: whether it has an end; False where max_new_tokens cut it.
    forced: the end was put there when time was up. It was likely enough, but others were likelier just then.
    """

    token_ids: tuple[int, ...]
    sum_logprobs: float
    score: float
    finished: bool
    forced: bool = False


# A sequence may be forced to end where the model gives its end at least this probability, so that it is one of the ten
# likeliest continuations at worst: what stands there then reads as a whole query.
WHOLE_QUERY_LOGPROB = math.log(0.1)


class BeamSearch:
    """The state of one request's search, advanced once per decoder step until `done`.

    After each `advance`, `tokens` and `beam_indices` are what the next decoder step takes: the last token of each
    open beam, and which of the previous step's beams it continues; `prefixes` are all tokens of each. Beams are in
    falling order of their sums.
    """

    def __init__(self, options: GenerationOptions, decoder_start_token_id: int, eos_token_id: int) -> None:
        self._options = options
        self._eos = eos_token_id
        self.prefixes: list[tuple[int, ...]] = [()]
        self._best: list[Hypothesis] = []  # at most num_beams, best first
        self._likely_ends: list[Hypothesis] = []  # while nothing has ended
        self.tokens: list[int] = [decoder_start_token_id]
        self.beam_indices: list[int] = [0]
        self.sums: list[float] = [0.0]
        self.steps = 0
        self.done = False

    @property
    def wanted(self) -> int:
        """Candidates that `advance` takes: num_beams go on even where every beam also offers its end."""
        return 2 * self._options.num_beams

    @property
    def has_ended(self) -> bool:
        """Whether a hypothesis is complete, so that `advance` needs no `end_logprobs`."""
        return bool(self._best)

    def advance(
        self, sums: Sequence[float], beams: Sequence[int], tokens: Sequence[int], end_logprobs: Sequence[float] = ()
    ) -> None:
        """Take the best continuations of a decoder step.

        Args:
            sums: log-probability sums of the continued sequences, falling; as many as `wanted`, fewer where no more
                are allowed.
            beams: for each, the open beam that it continues.
            tokens: for each, the token that it adds.
            end_logprobs: of each open beam, the log-probability of its end, while nothing has ended. Only a search
                that is cut short by `forced` needs them.
        """
        options = self._options
        width = options.num_beams
        kept = list(zip(sums, beams, tokens, strict=True))
        before, sums_before = self.prefixes, self.sums
        self.steps += 1
        at_limit = self.steps == options.max_new_tokens

        # Only the first num_beams candidates may finish; the others are there to keep the beam full.
        ended = [c for c in kept[:width] if at_limit or c[2] == self._eos]
        if ended:
            self._finish(ended)
        going_on = [] if at_limit else [c for c in kept if c[2] != self._eos][:width]
        if not self._best:
            self._note_likely_ends(end_logprobs, sums_before)
        self.prefixes = [(*before[beam], token) for _, beam, token in going_on]
        self.sums = [total for total, _, _ in going_on]
        self.beam_indices = [beam for _, beam, _ in going_on]
        self.tokens = [token for _, _, token in going_on]
        self.done = not going_on or not self._can_improve()

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """Return the best num_return_sequences hypotheses that are complete by now, best first."""
        return tuple(self._best[: self._options.num_return_sequences])

    def forced(self) -> tuple[Hypothesis, ...]:
        """Return what may be handed out when time is up: complete hypotheses, or else likely ends, best first.

        An open sequence counts as a whole query where its end had WHOLE_QUERY_LOGPROB at least.
        """
        if self._best:
            return self.hypotheses()
        return tuple(self._likely_ends[: self._options.num_return_sequences])

    def _finish(self, ended: Sequence[tuple[float, int, int]]) -> None:
        length = float(self.steps) ** self._options.length_penalty
        complete = []
        for total, beam, token in ended:
            finished = token == self._eos
            ids = self.prefixes[beam]
            complete.append(Hypothesis(ids if finished else (*ids, token), total, total / length, finished))
        # nlargest is stable: of equal scores the earlier one stays, as a top-k over [kept, new] has it.
        self._best = heapq.nlargest(self._options.num_beams, self._best + complete, key=lambda h: h.score)

    def _note_likely_ends(self, end_logprobs: Sequence[float], sums: Sequence[float]) -> None:
        for beam, logprob in enumerate(end_logprobs):
            if logprob >= WHOLE_QUERY_LOGPROB:
                total = sums[beam] + logprob
                score = total / float(self.steps) ** self._options.length_penalty
                self._likely_ends.append(Hypothesis(self.prefixes[beam], total, score, finished=True, forced=True))
        self._likely_ends.sort(key=lambda hypothesis: -hypothesis.score)

    def _can_improve(self) -> bool:
        """Whether an open beam could still displace a complete hypothesis, by the rule of `early_stopping`."""
        options = self._options
        if len(self._best) < options.num_beams:
            return True
        if options.early_stopping is True:
            return False
        reach_the_limit = options.early_stopping == "never" and options.length_penalty > 0.0
        length = options.max_new_tokens if reach_the_limit else self.steps
        reachable: float = self.sums[0] / float(length) ** options.length_penalty
        return reachable > self._best[-1].score
