"""Beam search for one request, on the host, with the results of `_beam_search` in transformers 4.57.

The decoder graph returns the best continuations over all beams of a request. This module keeps the books of about
sixteen candidates a step, for which plain Python is faster than numpy with its cost per call.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Container, Sequence
from dataclasses import dataclass

from generation.options import GenerationOptions

# A continuation that a step may take: the log-probability sum, the open beam that it continues, the token that it adds.
Candidate = tuple[float, int, int]


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One generated sequence.

    Attributes:
        token_ids: generated tokens without the end-of-sequence token.
        sum_logprobs: sum of the log-probabilities of its tokens, including the end-of-sequence token.
        score: sum_logprobs / (number of generated tokens, including the end) ** length_penalty.
        finished: whether it has an end; False if max_new_tokens cut it.
        forced: the end was added when the deadline came. Its probability was high enough (WHOLE_QUERY_LOGPROB), but
            the search had not chosen it.
        pointed: share of its probability that the pointer has, 0 to 1 (generation/pointer.py).
    """

    token_ids: tuple[int, ...]
    sum_logprobs: float
    score: float
    finished: bool
    forced: bool = False
    pointed: float = 0.0


# A sequence may be forced to end if the model gives the end at least this probability. The end is then one of the ten
# most likely continuations, and the sequence reads as a whole query.
WHOLE_QUERY_LOGPROB = math.log(0.1)


class BeamSearch:
    """The state of one request's search, advanced once per decoder step until `done`.

    Open beams are in falling order of their sums.

    Attributes:
        prefixes: all tokens of each open beam.
        tokens: the last token of each open beam, an input of the next decoder step.
        beam_indices: for each open beam, the beam of the previous step that it continues; an input too.
        sums: the log-probability sum of each open beam.
        steps: decoder steps so far.
        done: whether further steps would change nothing.
        ended_entries: log-probability sums of the `entries` that have ended.
    """

    def __init__(
        self,
        options: GenerationOptions,
        decoder_start_token_id: int,
        eos_token_id: int,
        start: float = 0.0,
        least_score: float = -math.inf,
        entries: Container[tuple[int, ...]] = (),
    ) -> None:
        """Begin with one open beam, which has no tokens.

        Args:
            options: how to search.
            decoder_start_token_id: the token that the decoder is given first; it is not part of a prefix.
            eos_token_id: the token that ends a sequence.
            start: where sums begin.
            least_score: so much a hypothesis must have to be of use.
            entries: sequences whose sums are kept when they end, however low.
        """
        self._options = options
        self._eos = eos_token_id
        self._least_score = least_score
        self._entries = entries
        self.ended_entries: dict[tuple[int, ...], float] = {}
        self.prefixes: list[tuple[int, ...]] = [()]
        self._best: list[Hypothesis] = []  # at most num_beams, best first
        self._likely_ends: list[Hypothesis] = []  # kept while no hypothesis is complete
        self.tokens: list[int] = [decoder_start_token_id]
        self.beam_indices: list[int] = [0]
        self.sums: list[float] = [start]
        self.steps = 0
        self.done = False

    @property
    def wanted(self) -> int:
        """Number of candidates that `advance` takes: num_beams remain even if each beam's end is among them."""
        return 2 * self._options.num_beams

    @property
    def has_ended(self) -> bool:
        """Whether a hypothesis is complete. `advance` then needs no `end_logprobs`."""
        return bool(self._best)

    @property
    def length_norm(self) -> float:
        """What the sum of a sequence that ends at the present step is divided by to give its score."""
        norm: float = float(self.steps) ** self._options.length_penalty
        return norm

    def advance(
        self, sums: Sequence[float], beams: Sequence[int], tokens: Sequence[int], end_logprobs: Sequence[float] = ()
    ) -> list[Candidate]:
        """Continue the beams with the best candidates of a decoder step.

        Args:
            sums: log-probability sums of the continued sequences, falling; `wanted` of them, or fewer if fewer are
                allowed.
            beams: for each candidate, the open beam that it continues.
            tokens: for each candidate, the token that it adds.
            end_logprobs: the log-probability of the end of each open beam, needed until a hypothesis is complete.
                Only `forced` uses them.

        Returns:
            The candidates that ended, which are complete hypotheses now.
        """
        options = self._options
        width = options.num_beams
        kept = list(zip(sums, beams, tokens, strict=True))
        before, sums_before = self.prefixes, self.sums
        self.steps += 1
        at_limit = self.steps == options.max_new_tokens

        # Only the first num_beams candidates may finish, as in transformers; the others keep the beam full.
        ended = [c for c in kept[:width] if at_limit or c[2] == self._eos]
        if ended:
            self._finish(ended)
        continued = [] if at_limit else [c for c in kept if c[2] != self._eos][:width]
        if not self._best:
            self._note_likely_ends(end_logprobs, sums_before)
        self.prefixes = [(*before[beam], token) for _, beam, token in continued]
        self.sums = [total for total, _, _ in continued]
        self.beam_indices = [beam for _, beam, _ in continued]
        self.tokens = [token for _, _, token in continued]
        self.done = not continued or not self._can_improve()
        return ended

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """Return the complete hypotheses so far, best first, num_return_sequences at most."""
        return tuple(self._best[: self._options.num_return_sequences])

    def forced(self) -> tuple[Hypothesis, ...]:
        """Return the answer of a search that is cut short: complete hypotheses, or else forced ends, best first.

        An open beam may be forced to end if its end had a log-probability of WHOLE_QUERY_LOGPROB or more at some step.
        """
        if self._best:
            return self.hypotheses()
        return tuple(self._likely_ends[: self._options.num_return_sequences])

    def _finish(self, ended: Sequence[Candidate]) -> None:
        norm = self.length_norm
        complete = []
        for total, beam, token in ended:
            finished = token == self._eos
            ids = self.prefixes[beam]
            if finished and ids in self._entries:
                self.ended_entries[ids] = total
            complete.append(Hypothesis(ids if finished else (*ids, token), total, total / norm, finished))
        # nlargest is stable: of equal scores the earlier one is kept, as by the top-k of transformers over [kept, new].
        self._best = heapq.nlargest(self._options.num_beams, self._best + complete, key=lambda h: h.score)

    def _note_likely_ends(self, end_logprobs: Sequence[float], sums: Sequence[float]) -> None:
        for beam, logprob in enumerate(end_logprobs):
            if logprob >= WHOLE_QUERY_LOGPROB:
                total = sums[beam] + logprob
                score = total / self.length_norm
                self._likely_ends.append(Hypothesis(self.prefixes[beam], total, score, finished=True, forced=True))
        self._likely_ends.sort(key=lambda hypothesis: -hypothesis.score)

    def _can_improve(self) -> bool:
        """Whether an open beam could still replace a complete hypothesis, by the rule of `early_stopping`."""
        options = self._options
        complete = len(self._best) == options.num_beams
        if complete and options.early_stopping is True:
            return False
        least = max(self._least_score, self._best[-1].score if complete else -math.inf)
        reach_the_limit = options.early_stopping == "never" and options.length_penalty > 0.0
        length = options.max_new_tokens if reach_the_limit else self.steps
        reachable: float = self.sums[0] / float(length) ** options.length_penalty
        return reachable > least
