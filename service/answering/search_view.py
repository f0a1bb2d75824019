"""The beam search of a request in the form of the wire (``wire.Search``), for ``explain_search``.

The size is bounded like the record (``generation/search_record.py``): ``max_new_tokens`` steps, and in each step
``width`` open beams, ``width`` ended candidates and SPARE_FACTOR * ``width`` cut ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from generation.beam import Hypothesis
from generation.bundle import Bundle
from generation.engine import Generation
from generation.options import GenerationOptions
from generation.search_record import Continuation, Cut, Ended, SearchStep

Prefix = tuple[int, ...]


def search_to_wire(generation: Generation, options: GenerationOptions, bundle: Bundle) -> dict[str, Any] | None:
    """Return the search of a generation; None if the deadline left no time to begin it.

    Args:
        generation: of a request with ``record_search``.
        options: of its search.
        bundle: provides the texts of tokens, and the threshold of [REJECT].
    """
    if generation.search is None:
        return None
    texts = _Texts(bundle)
    ranks = {(h.token_ids, h.finished): rank for rank, h in enumerate(generation.hypotheses, start=1) if not h.forced}
    places: dict[Prefix, tuple[int, int]] = {(): (0, 0)}
    ends: set[tuple[Prefix, bool]] = set()
    prefixes: list[Prefix] = [()]
    steps = []
    for number, step in enumerate(generation.search, start=1):
        steps.append(_step(step, prefixes, ranks, texts))
        ends |= {_sequence(item, prefixes, texts.eos) for item in step.ended}
        prefixes = [(*prefixes[beam.parent], beam.token_id) for beam in step.beams]
        places |= {prefix: (number, beam) for beam, prefix in enumerate(prefixes)}
    return {
        "width": options.num_beams,
        "max_new_tokens": options.max_new_tokens,
        "length_penalty": options.length_penalty,
        "reject_probability": round(generation.reject_probability, 6),
        "reject_threshold": bundle.reject_threshold,
        "cut_by_deadline": generation.deadline_reached,
        "steps": steps,
        "hypotheses": [
            _hypothesis(rank, hypothesis, places, ends, texts)
            for rank, hypothesis in enumerate(generation.hypotheses, start=1)
        ],
    }


class _Texts:
    """Texts of tokens and of sequences. The text of each token is decoded once an answer."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._tokens: dict[int, str] = {}
        self.eos = bundle.special_tokens.eos

    def token(self, token_id: int) -> str:
        """Return the text that a token adds, with its spaces; special tokens by their names."""
        text = self._tokens.get(token_id)
        if text is None:
            text = self._tokens[token_id] = self._bundle.tokenizer.decode([token_id], skip_special_tokens=False)
        return text

    def query(self, token_ids: Sequence[int]) -> str:
        """Return the text of a sequence, as the policy reads it."""
        return " ".join(self._bundle.decode(token_ids).split())


def _step(
    step: SearchStep, prefixes: Sequence[Prefix], ranks: dict[tuple[Prefix, bool], int], texts: _Texts
) -> dict[str, Any]:
    ended = []
    for item in step.ended:
        token_ids, finished = _sequence(item, prefixes, texts.eos)
        ended.append(
            _continuation(item, texts)
            | {
                "query": texts.query(token_ids),
                "score": round(item.score, 6),
                "finished": finished,
                "rank": ranks.get((token_ids, finished)),
            }
        )
    return {
        "beams": [_continuation(beam, texts) for beam in step.beams],
        "ended": ended,
        "cut": [_continuation(cut, texts) | {"constraints": cut.constraints} for cut in step.cut],
    }


def _sequence(item: Ended, prefixes: Sequence[Prefix], eos: int) -> tuple[Prefix, bool]:
    """Return the tokens of an ended candidate without its end, and whether it has one."""
    finished = item.token_id == eos
    return (prefixes[item.parent] if finished else (*prefixes[item.parent], item.token_id)), finished


def _continuation(item: Continuation | Ended | Cut, texts: _Texts) -> dict[str, Any]:
    return {
        "token_id": item.token_id,
        "token": texts.token(item.token_id),
        "parent": item.parent,
        "sum_logprob": round(item.sum_logprobs, 6),
    }


def _hypothesis(
    rank: int,
    hypothesis: Hypothesis,
    places: dict[Prefix, tuple[int, int]],
    ends: set[tuple[Prefix, bool]],
    texts: _Texts,
) -> dict[str, Any]:
    # A sequence that was cut by max_new_tokens has its last token at the step after its last open beam.
    opened = hypothesis.token_ids if hypothesis.finished else hypothesis.token_ids[:-1]
    # An entry of the source may be a hypothesis that the search has not ended.
    ended = hypothesis.forced or (hypothesis.token_ids, hypothesis.finished) in ends
    step, parent = (places[opened][0] + 1, places[opened][1]) if ended else (None, None)
    return {
        "rank": rank,
        "query": texts.query(hypothesis.token_ids),
        "score": round(hypothesis.score, 6),
        "finished": hypothesis.finished,
        "forced": hypothesis.forced,
        "pointed": round(hypothesis.pointed, 6),
        "step": step,
        "parent": parent,
    }
