"""One request at a time: encode, then step the decoder under beam search until it is done or its time is up."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from generation.beam import BeamSearch, Hypothesis
from generation.bundle import Bundle
from generation.errors import OptionsError, SourceError
from generation.options import GenerationOptions
from generation.session import DecoderSession, EncoderSession

__all__ = ["Engine", "Generation", "Hypothesis"]


@dataclass(frozen=True, slots=True)
class Generation:
    """The answer to one request.

    hypotheses: complete ones, best first; none where the deadline came first.
    reject_probability: P([REJECT]) as the first token; 0 where the deadline came before the first step.
    steps: decoder steps that were run.
    deadline_reached: the search was cut short, so that better hypotheses may be missing.
    """

    hypotheses: tuple[Hypothesis, ...]
    reject_probability: float
    steps: int
    deadline_reached: bool
    encode_seconds: float
    decode_seconds: float


class Engine:
    """Answers requests from a bundle. Owns the two ONNX Runtime sessions; to be called from one thread at a time."""

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        """Load the graphs; `threads` are ORT's intra-op threads.

        Raises:
            BundleError: ORT refuses a graph.
        """
        self.bundle = bundle
        self._encoder = EncoderSession(bundle, threads)
        self._decoder = DecoderSession(bundle, threads)

    def warm_up(self) -> None:
        """Run the largest source first, so that ORT's arena is as large as it will get, then a short one."""
        specials = self.bundle.special_tokens
        sizes = self.bundle.architecture
        options = self.bundle.generation
        for length in (min(self.bundle.render_budgets.max_source_tokens, sizes.max_positions), 8):
            source = [specials.bos] + [specials.unk] * (length - 2) + [specials.eos]
            self.generate(source, options)

    def check_options(self, options: GenerationOptions) -> None:
        """Check options against the model, so that a caller can refuse them before anything is queued.

        Raises:
            OptionsError: the model cannot be searched in this way.
        """
        sizes = self.bundle.architecture
        if options.max_new_tokens > sizes.max_positions:
            raise OptionsError(
                f"max_new_tokens must be at most the model's {sizes.max_positions}, got {options.max_new_tokens}"
            )
        if 3 * options.num_beams > sizes.vocab_size:
            raise OptionsError(
                f"num_beams must be at most a third of the vocabulary's {sizes.vocab_size}, got {options.num_beams}"
            )

    def generate(
        self, source_ids: Sequence[int], options: GenerationOptions | None = None, deadline: float | None = None
    ) -> Generation:
        """Search the best continuations of one source.

        Args:
            source_ids: rendered source, <s> ... </s>.
            options: None for the bundle's own.
            deadline: instant of `time.perf_counter()`; looked at before the encoder and before each decoder step, so
                that it is overrun by at most one of these.

        Raises:
            OptionsError: the model cannot be searched in this way.
            SourceError: the source is empty, too long, or has ids that the model does not know.
        """
        options = options or self.bundle.generation
        self.check_options(options)
        input_ids = self._check_source(source_ids)
        specials = self.bundle.special_tokens
        started = time.perf_counter()
        if deadline is not None and started >= deadline:
            return Generation((), 0.0, 0, True, 0.0, 0.0)

        attention_mask = np.ones(input_ids.shape, np.int32)
        state = self._decoder.start(self._encoder.run(input_ids, attention_mask), attention_mask)
        encoded = time.perf_counter()

        search = BeamSearch(options, specials.decoder_start, specials.eos)
        reject_probability = 0.0
        deadline_reached = False
        while not search.done:
            if deadline is not None and time.perf_counter() >= deadline:
                deadline_reached = True
                break
            candidates = self._decoder.step(
                state,
                np.array([search.tokens], np.int64),
                np.array([search.beam_indices], np.int64),
                np.array([search.sums], np.float32),
                search.candidates_needed,
            )
            if search.steps == 0:
                reject_probability = math.exp(candidates.reject_logprobs[0, 0])
            search.advance(candidates.sums[0].tolist(), candidates.beams[0].tolist(), candidates.tokens[0].tolist())
        decoded = time.perf_counter()
        return Generation(
            hypotheses=search.hypotheses(),
            reject_probability=reject_probability,
            steps=search.steps,
            deadline_reached=deadline_reached,
            encode_seconds=encoded - started,
            decode_seconds=decoded - encoded,
        )

    def _check_source(self, source_ids: Sequence[int]) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        """Return the source as [1, S]."""
        sizes = self.bundle.architecture
        if not 1 <= len(source_ids) <= sizes.max_positions:
            raise SourceError(f"a source must have 1 to {sizes.max_positions} tokens, got {len(source_ids)}")
        ids = np.array([source_ids], np.int64)
        if ids.min() < 0 or ids.max() >= sizes.vocab_size:
            raise SourceError(f"a source must hold token ids from 0 to {sizes.vocab_size - 1}")
        return ids
