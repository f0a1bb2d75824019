"""What a run may cost: estimated before it starts, and never exceeded."""

from __future__ import annotations

from pathlib import Path

import pytest

from offline.summaries.errors import StoppedError
from offline.summaries.journal import Journal
from offline.summaries.spending import Budget, Prices, estimate

PRICES = Prices(million_in=2.0, million_out=10.0, image_tokens=500, max_answer_tokens=100)


def test_the_estimate_counts_frames_texts_and_the_longest_answer() -> None:
    plain, long = estimate([{}], 6, PRICES, 0), estimate([{"caption": "x" * 300}], 6, PRICES, 0)
    assert plain.tokens_in > 6 * 500
    assert long.tokens_in - plain.tokens_in == 100
    assert plain.tokens_out == 100
    assert plain.dollars == pytest.approx((plain.tokens_in * 2 + 100 * 10) / 1e6)


def test_the_estimate_names_the_limit_and_what_it_is_enough_for() -> None:
    needed = estimate([{}] * 1000, 6, PRICES, 60)
    text = needed.to_text(needed.dollars / 4)
    assert text.startswith("1,000 videos to ask about")
    assert f"of at most ${needed.dollars / 4:,.2f}" in text
    assert "17 minutes" in text
    assert text.endswith("the limit is enough for about 250 of them")
    assert "enough" not in needed.to_text(needed.dollars)


def test_requests_under_way_count_with_what_they_may_cost(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        budget = Budget(1.0, journal)
        first = budget.reserve(0.4)
        budget.reserve(0.4)
        with pytest.raises(StoppedError, match=r"the spend limit of \$1\.00 is reached; raise it with --max-cost"):
            budget.reserve(0.4)
        budget.settle(first, 0.1)
        budget.reserve(0.4)
        assert budget.spent == pytest.approx(0.9)


def test_a_request_without_known_cost_stays_reserved(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        budget = Budget(1.0, journal)
        budget.settle(budget.reserve(0.4), None)
        assert budget.spent == pytest.approx(0.4)


def test_a_request_that_cost_more_than_estimated_raises_the_next_reservation(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        budget = Budget(1.0, journal)
        budget.settle(budget.reserve(0.1), 0.6)
        with pytest.raises(StoppedError):
            budget.reserve(0.1)
