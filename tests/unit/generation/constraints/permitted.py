"""What restrictions mean, spelt out token by token."""

from __future__ import annotations

from collections.abc import Sequence

from generation.logits_processors import LogitsProcessor, forbids


def permitted(processors: Sequence[LogitsProcessor], prefix: tuple[int, ...], vocab_size: int) -> list[int]:
    restrictions = [processor.restrict([prefix])[0] for processor in processors]
    return [token for token in range(vocab_size) if not any(forbids(each, token) for each in restrictions)]
