"""Beam search for one request, on the host: what transformers 4.57 `_beam_search` does, without its tensors.

The model's part ends in the graph with the best continuations over all beams of the request. What is left is
bookkeeping over some sixteen candidates, for which plain Python beats numpy's cost per call. Hypotheses are linked
backwards, so that a step allocates one node per beam that goes on and never copies a sequence.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from generation.options import GenerationOptions


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One generated sequence.

    token_ids: generated tokens without the end-of-sequence token.
    sum_logprobs: sum of the log-probabilities of its tokens, the end-of-sequence token among them.
    score: sum_logprobs / (number of generated tokens, the end among them) ** length_penalty.
    finished: whether it ended itself; False where max_new_tokens cut it.
    """

    token_ids: tuple[int, ...]
    sum_logprobs: float
    score: float
    finished: bool


# The last token of an open beam and the path before it; a tuple, as eight are made at each step.
_Path = tuple[int, "_Path"] | None


class BeamSearch:
    """The state of one request's search, advanced once per decoder step until `done`.

    After each `advance`, `tokens` and `beam_indices` are what the next decoder step takes: the last token of each
    open beam, and which of the previous step's beams it continues. Beams are in falling order of their sums.
    """

    def __init__(self, options: GenerationOptions, decoder_start_token_id: int, eos_token_id: int) -> None:
        self._options = options
        self._eos = eos_token_id
        self._open: list[_Path] = [None]
        self._best: list[Hypothesis] = []  # at most num_beams, best first
        self.tokens: list[int] = [decoder_start_token_id]
        self.beam_indices: list[int] = [0]
        self.sums: list[float] = [0.0]
        self.steps = 0
        self.done = False

    @property
    def candidates_needed(self) -> int:
        """Candidates that the next `advance` must be given for the search to be exact.

        2 * num_beams leave num_beams to go on with when every beam also offers its end (each has one). While the
        end is forbidden those are dropped here rather than masked in the graph, so as many more are asked for.
        """
        needed = 2 * self._options.num_beams
        return needed + len(self.tokens) if self.steps < self._options.min_new_tokens else needed

    def advance(self, sums: Sequence[float], beams: Sequence[int], tokens: Sequence[int]) -> None:
        """Take the best continuations of a decoder step.

        Args:
            sums: log-probability sums of the continued sequences, falling, `candidates_needed` of them.
            beams: for each, the open beam that it continues.
            tokens: for each, the token that it adds.
        """
        options = self._options
        width = options.num_beams
        candidates = zip(sums, beams, tokens, strict=True)
        if self.steps < options.min_new_tokens:
            kept = [candidate for candidate in candidates if candidate[2] != self._eos][: 2 * width]
        else:
            kept = list(candidates)
        self.steps += 1
        at_limit = self.steps == options.max_new_tokens

        # Only the first num_beams candidates may finish; the others are there to keep the beam full.
        ended = [c for c in kept[:width] if at_limit or c[2] == self._eos]
        if ended:
            self._finish(ended)
        going_on = [] if at_limit else [c for c in kept if c[2] != self._eos][:width]
        before = self._open
        self._open = [(token, before[beam]) for _, beam, token in going_on]
        self.sums = [total for total, _, _ in going_on]
        self.beam_indices = [beam for _, beam, _ in going_on]
        self.tokens = [token for _, _, token in going_on]
        self.done = at_limit or not self._can_improve()

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """Return the best num_return_sequences hypotheses that are complete by now, best first."""
        return tuple(self._best[: self._options.num_return_sequences])

    def _finish(self, ended: Sequence[tuple[float, int, int]]) -> None:
        length = float(self.steps) ** self._options.length_penalty
        complete = []
        for total, beam, token in ended:
            finished = token == self._eos
            ids = [] if finished else [token]
            path = self._open[beam]
            while path is not None:
                token, path = path
                ids.append(token)
            complete.append(Hypothesis(tuple(reversed(ids)), total, total / length, finished))
        # nlargest is stable: of equal scores the earlier one stays, as a top-k over [kept, new] has it.
        self._best = heapq.nlargest(self._options.num_beams, self._best + complete, key=lambda h: h.score)

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
