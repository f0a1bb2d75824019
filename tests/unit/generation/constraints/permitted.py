"""The restriction of a processor after a sequence of tokens, and the tokens that restrictions permit."""

from __future__ import annotations

from collections.abc import Sequence

from generation.logits_processors import LogitsProcessor, Restriction, forbids


def restriction(processor: LogitsProcessor, tokens: Sequence[int]) -> Restriction:
    """Follow one beam through some tokens."""
    states: Sequence[object] | None = (processor.begin(),)
    for token in tokens:
        states = processor.follow(states, [0], [token])
        if states is None:
            return None
    (said,) = processor.restrict(states)
    return said


def permitted(processors: Sequence[LogitsProcessor], prefix: Sequence[int], vocab_size: int) -> list[int]:
    restrictions = [restriction(processor, prefix) for processor in processors]
    return [token for token in range(vocab_size) if not any(forbids(each, token) for each in restrictions)]
