"""One request for a generation, as callers give it to the engine and to the scheduler, and its checks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import index

from generation.bundle import Bundle
from generation.errors import OptionsError, SourceError
from generation.logits_processors import LogitsProcessor
from generation.options import GenerationOptions


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One source, and how to search its continuations.

    The sequences are copied into tuples: what was checked cannot change while the request waits.

    Attributes:
        source_ids: token ids of the rendered source, <s> ... </s>.
        options: how to search.
        deadline: instant by which the answer must be complete or cut short, in seconds of the engine's clock
            (`time.perf_counter()` by default). None for no limit.
        processors: constraints besides those of the options. They run in the engine's thread.
        record_search: whether the answer has every step of the search (`Generation.search`).

    Raises:
        OptionsError: the deadline is not a number.
        SourceError: a token id is not an integer.
    """

    source_ids: Sequence[int]
    options: GenerationOptions
    deadline: float | None = None
    processors: Sequence[LogitsProcessor] = ()
    record_search: bool = False

    def __post_init__(self) -> None:
        """Copy the sequences and check their types."""
        try:
            object.__setattr__(self, "source_ids", tuple(map(index, self.source_ids)))
        except TypeError as error:
            raise SourceError(f"a source must be a sequence of integers ({error})") from error
        object.__setattr__(self, "processors", tuple(self.processors))
        if self.deadline is not None and not _is_number(self.deadline):
            raise OptionsError(f"deadline must be a number of seconds or None, got {self.deadline!r}")

    def seconds_left(self, now: float) -> float:
        """Return the seconds from `now` to the deadline; infinity without a deadline."""
        return math.inf if self.deadline is None else self.deadline - now

    def is_due(self, instant: float) -> bool:
        """Whether the deadline is at this instant or before it."""
        return self.deadline is not None and self.deadline <= instant


def check_request(bundle: Bundle, request: GenerationRequest) -> None:
    """Check a request against the model, before any work is done for it.

    Raises:
        OptionsError: the model cannot be searched in this way.
        SourceError: the source is empty, longer than the model's positions, or has ids outside of the vocabulary.
    """
    check_options(bundle, request.options)
    check_source(bundle, request.source_ids)


def check_options(bundle: Bundle, options: GenerationOptions) -> None:
    """Check options against the model.

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
        SourceError: the source is empty, longer than the model's positions, or has ids outside of the vocabulary.
    """
    sizes = bundle.architecture
    if not 1 <= len(source_ids) <= sizes.max_positions:
        raise SourceError(f"a source must have 1 to {sizes.max_positions} tokens, got {len(source_ids)}")
    if min(source_ids) < 0 or max(source_ids) >= sizes.vocab_size:
        raise SourceError(f"a source must hold token ids from 0 to {sizes.vocab_size - 1}")


def _is_number(value: object) -> bool:
    try:
        return not math.isnan(value)  # type: ignore[arg-type]
    except (TypeError, OverflowError):  # not a number, or an int that no float can hold
        return False
