"""Predicts when a request that arrives now would be answered, for admission control."""

from __future__ import annotations

from generation.inbox import Backlog
from generation.options import GenerationOptions
from generation.pace import Pace


class Forecaster:
    """Predicts the time of a new request from the backlog and from measured durations. For any thread."""

    def __init__(self, pace: Pace, backlog: Backlog, row_budget: int) -> None:
        """Read from a running loop.

        Args:
            pace: measured durations.
            backlog: the requests inside.
            row_budget: beams that are stepped together at most.
        """
        self._pace = pace
        self._backlog = backlog
        self._row_budget = row_budget

    def expected_seconds(self, source_tokens: float, ahead: int, options: GenerationOptions) -> float:
        """Return the seconds until a request that is submitted now would be answered; seldom exceeded.

        All requests inside and ahead have to be encoded, and then n of them share a step. The steps of the new request
        are counted in full, because requests behind it will share them by then.

        Args:
            source_tokens: length of its source.
            ahead: requests that will be submitted before it, besides those that are inside.
            options: how it will be searched.
        """
        pace, limit = self._pace, options.max_new_tokens
        active = tuple(self._backlog.active)
        waiting = self._backlog.waiting_count + ahead
        others = waiting + len(active)
        together = min(others + 1, max(1, self._row_budget // options.num_beams))
        own_steps = pace.steps_left(1, limit)  # the first step is part of the encoding
        others_steps = waiting * own_steps + sum(
            pace.steps_left(entry.progress.search.steps, limit) for entry in active if entry.progress
        )
        steps = own_steps + others_steps / together
        # The number of steps depends on when this search ends, and on a share of when each other one ends.
        searches = 1 + others / together**2
        return (pace.encoding(source_tokens, waiting + 1) + pace.stepping(together, steps, searches)).cautious
