"""BART's noise on token ids: text infilling over whole words, and permuted segments.

Pure functions over lists of ids; the caller passes the random generator.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from evidence.render import split_on

ANCHORS, HISTORIES = 2, 3
"""The segments of a source that hold anchors and histories."""


def word_start_table(tokenizer: Tokenizer) -> NDArray[np.bool_]:
    """Return, for each id, whether a token of that id starts a word; shape [vocabulary].

    A word starts with the byte-level mark of a space, or with the lead byte of a three-byte character. Chinese has no
    spaces, and a sentence must not count as one word.
    """
    starts = np.zeros(tokenizer.get_vocab_size(), dtype=np.bool_)
    for token, token_id in tokenizer.get_vocab().items():
        starts[token_id] = token[0] == "Ġ" or 0xE3 <= ord(token[0]) <= 0xED
    return starts


def infill(
    ids: Sequence[int],
    word_starts: NDArray[np.bool_],
    mask_id: int,
    mask_ratio: float,
    span_lambda: float,
    rng: np.random.Generator,
) -> list[int]:
    """Replace spans of whole words, Poisson(`span_lambda`) long, by one `mask_id` each.

    About `mask_ratio` of the words are replaced. A span of no words inserts a mask, as in BART: the model must also
    learn that nothing is missing. Every segment that is not empty gets at least one mask.

    Args:
        ids: tokens of one segment, without special tokens.
        word_starts: from `word_start_table`.
        mask_id: id of <mask>.
        mask_ratio: share of the words to replace.
        span_lambda: mean length of a span, in words.
        rng: source of randomness.
    """
    if not ids:
        return []
    bounds = [0, *(i for i in range(1, len(ids)) if word_starts[ids[i]]), len(ids)]
    words = len(bounds) - 1
    to_mask = max(int(words * mask_ratio + rng.random()), 0)
    spans: list[int] = []
    while to_mask > 0:
        span = min(int(rng.poisson(span_lambda)), to_mask)
        spans.append(span)
        to_mask -= span
    if not spans:
        spans.append(0)
    # Kept words and spans are put in one row in random order, so spans never overlap.
    kept = words - sum(spans)
    span_at = np.zeros(kept + len(spans), dtype=np.bool_)
    span_at[rng.choice(kept + len(spans), size=len(spans), replace=False)] = True
    noised: list[int] = []
    word, next_span = 0, 0
    for is_span in span_at:
        if is_span:
            noised.append(mask_id)
            word += spans[next_span]
            next_span += 1
        else:
            noised.extend(ids[bounds[word] : bounds[word + 1]])
            word += 1
    return noised


def split_segments(ids: Sequence[int], sep_id: int) -> list[list[int]]:
    """Return the segments of `<s> a [SEP] b ... </s>`, without the special tokens."""
    return split_on(ids[1:-1], sep_id)


def join_on(parts: Sequence[Sequence[int]], separator_id: int) -> list[int]:
    """The inverse of `split_on` (evidence.render)."""
    return [token for n, part in enumerate(parts) for token in ([separator_id, *part] if n else part)]


def join_segments(segments: Sequence[Sequence[int]], bos_id: int, sep_id: int, eos_id: int) -> list[int]:
    """The inverse of `split_segments`."""
    return [bos_id, *join_on(segments, sep_id), eos_id]
