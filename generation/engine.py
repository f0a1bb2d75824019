"""One request at a time, in the caller's thread: for evaluation and measurements, where no queue is needed."""

from __future__ import annotations

import time
from collections.abc import Callable

from generation.backend import Backend
from generation.beam import Hypothesis
from generation.bundle import Bundle
from generation.pace import Pace
from generation.request import GenerationRequest, check_request
from generation.results import Generation
from generation.stepper import Stepper

__all__ = ["Engine", "Generation", "Hypothesis"]


class Engine:
    """Answers requests from a bundle. It owns the sessions of both graphs. One thread at a time may call it."""

    def __init__(
        self,
        bundle: Bundle,
        threads: int = 1,
        clock: Callable[[], float] = time.perf_counter,
        backend: Backend = "auto",
    ) -> None:
        """Load the graphs.

        Args:
            bundle: the model.
            threads: intra-op threads of ONNX Runtime.
            clock: returns the present instant in seconds; deadlines are instants of this clock.
            backend: what runs the graphs.

        Raises:
            BackendError: the backend cannot run this bundle on this machine.
            BundleError: a graph cannot be run.
        """
        self.bundle = bundle
        self._stepper = Stepper(bundle, threads, row_budget=1, backend=backend)
        self._clock = clock
        self._pace = Pace(bundle.architecture.max_positions)

    def warm_up(self) -> None:
        """Run the largest source first, so that ORT's arena reaches its final size, then a short one."""
        for request in warm_up_requests(self.bundle):
            self.generate(request)

    def generate(self, request: GenerationRequest) -> Generation:
        """Search the best continuations of one source.

        An encoder pass or a step that would end after the deadline, by what it took before, is not begun.

        Raises:
            OptionsError: the model cannot be searched in this way.
            SourceError: the source is empty, too long, or has ids outside of the vocabulary.
            RequestFailed: the model's output is not a number.
            Exception: what a logits processor raised.
        """
        check_request(self.bundle, request)
        return generate_alone(self._stepper, self._pace, self._clock, request)


def generate_alone(stepper: Stepper, pace: Pace, clock: Callable[[], float], request: GenerationRequest) -> Generation:
    """Answer one checked request while the stepper has no other.

    Args:
        stepper: runs the model.
        pace: predicts how long the encoder pass and the steps take, and learns from them.
        clock: returns the present instant in seconds.
        request: what to answer.

    Raises:
        RequestFailed: the model's output is not a number.
        Exception: what a logits processor raised.
    """
    source_tokens = len(request.source_ids)
    began = clock()
    if request.is_due(began + pace.encoding(source_tokens).cautious):
        pace.encoding_ruled_out(source_tokens, request.seconds_left(began))
        return Generation.not_begun()
    progress = stepper.begin(request)
    encoded = now = clock()
    pace.encoded(source_tokens, encoded - began)
    try:
        while not progress.over and not request.is_due(now + pace.stepping(1).cautious):
            before = now
            stepper.step()
            now = clock()
            pace.stepped(1, now - before)
        if not progress.over:
            pace.step_ruled_out(request.seconds_left(now))
    finally:
        stepper.end(progress)
    if progress.error is not None:
        raise progress.error
    return progress.generation(submitted=began, began=began, encoded=encoded, ended=now)


def warm_up_requests(bundle: Bundle) -> list[GenerationRequest]:
    """Return requests that use every part of the engine once: the longest source that is rendered, and a short one."""
    specials, sizes = bundle.special_tokens, bundle.architecture
    lengths = (min(bundle.render_budgets.max_source_tokens, sizes.max_positions), 8)
    return [
        GenerationRequest([specials.bos] + [specials.unk] * (length - 2) + [specials.eos], bundle.generation)
        for length in lengths
    ]
