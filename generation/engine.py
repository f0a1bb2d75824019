"""One request at a time: a thin way through the stepper, for evaluation, measuring, and whoever needs no queue."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from generation.backend import Backend
from generation.beam import Hypothesis
from generation.bundle import Bundle
from generation.logits_processors import LogitsProcessor
from generation.options import GenerationOptions
from generation.pace import Pace
from generation.results import Generation
from generation.stepper import Stepper, check_options

__all__ = ["Engine", "Generation", "Hypothesis"]


class Engine:
    """Answers requests from a bundle. Owns the sessions of both graphs; to be called from one thread at a time."""

    def __init__(
        self,
        bundle: Bundle,
        threads: int = 1,
        clock: Callable[[], float] = time.perf_counter,
        backend: Backend = "auto",
    ) -> None:
        """Load the graphs.

        Args:
            bundle: what to answer from.
            threads: ORT's intra-op threads.
            clock: what deadlines are instants of, in seconds.
            backend: what runs the graphs.

        Raises:
            BackendError: it cannot be had here.
            BundleError: a graph cannot be run.
        """
        self.bundle = bundle
        self._stepper = Stepper(bundle, threads, row_budget=1, backend=backend)
        self._clock = clock
        self._pace = Pace(bundle.architecture.max_positions)

    def warm_up(self) -> None:
        """Run the largest source first, so that ORT's arena is as large as it will get, then a short one."""
        for source in warm_up_sources(self.bundle):
            self.generate(source)

    def check_options(self, options: GenerationOptions) -> None:
        """Check options against the model. Raises OptionsError."""
        check_options(self.bundle, options)

    def generate(
        self,
        source_ids: Sequence[int],
        options: GenerationOptions | None = None,
        deadline: float | None = None,
        processors: Sequence[LogitsProcessor] = (),
    ) -> Generation:
        """Search the best continuations of one source.

        Args:
            source_ids: rendered source, <s> ... </s>.
            options: None for the bundle's own.
            deadline: instant of the clock. Nothing is begun that would, going by what it took before, end after it.
            processors: constraints besides those of the options.

        Raises:
            OptionsError: the model cannot be searched in this way.
            SourceError: the source is empty, too long, or has ids that the model does not know.
            RequestFailed: what the model put out is not a number.
        """
        options = options or self.bundle.generation
        stepper, pace, clock = self._stepper, self._pace, self._clock
        stepper.check(source_ids, options)
        started = clock()
        if deadline is not None and started + pace.encoding(len(source_ids)).cautious >= deadline:
            return Generation((), 0.0, 0, True, 0.0, 0.0)
        progress = stepper.begin(source_ids, options, processors)
        encoded = now = clock()
        pace.encoded(len(source_ids), encoded - started)
        search = progress.search
        try:
            while not progress.over and not (deadline is not None and now + pace.stepping(1).cautious >= deadline):
                before = now
                stepper.step()
                now = clock()
                pace.stepped(1, now - before)
        finally:
            stepper.end(progress)
        if progress.error is not None:
            raise progress.error
        return Generation(
            hypotheses=search.hypotheses() if search.done else search.forced(),
            reject_probability=progress.reject_probability,
            steps=search.steps,
            deadline_reached=not search.done,
            encode_seconds=encoded - started,
            decode_seconds=now - encoded,
        )


def warm_up_sources(bundle: Bundle) -> list[list[int]]:
    """Return sources whose answers have used everything once: the longest that is rendered, and a short one."""
    specials, sizes = bundle.special_tokens, bundle.architecture
    lengths = (min(bundle.render_budgets.max_source_tokens, sizes.max_positions), 8)
    return [[specials.bos] + [specials.unk] * (length - 2) + [specials.eos] for length in lengths]
