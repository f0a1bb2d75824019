"""What a run may cost, and what it has cost.

Money is reserved before a request and settled after it, and both are in the journal. So the limit holds with several
requests under way, and for a run that is killed and started again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from offline.summaries.errors import StoppedError
from offline.summaries.journal import Journal
from offline.summaries.prompt import INSTRUCTIONS

TOKENS_PER_BYTE = 1 / 3
"""Of UTF-8. English text has about .25, Chinese text .3 to .4: estimates are rather high than low."""


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices in dollars, and the tokens that a request is assumed to have.

    Attributes:
        million_in, million_out: dollars for a million tokens of the prompt and of the answer.
        image_tokens: tokens of one frame.
        max_answer_tokens: tokens of an answer at most; the endpoint is told so.
    """

    million_in: float
    million_out: float
    image_tokens: int = 1000
    max_answer_tokens: int = 600

    def cost(self, tokens_in: float, tokens_out: float) -> float:
        """Return dollars."""
        return (tokens_in * self.million_in + tokens_out * self.million_out) / 1e6

    def highest_cost(self, texts: Mapping[str, str], frames: int) -> float:
        """Return the dollars that a request about a video with these texts and frames costs at most."""
        return self.cost(self.tokens_in(texts, frames), self.max_answer_tokens)

    def tokens_in(self, texts: Mapping[str, str], frames: int) -> int:
        """Return the estimated tokens of the prompt."""
        size = len(INSTRUCTIONS.encode()) + sum(len(text.encode("utf-8", "replace")) for text in texts.values())
        return math.ceil(size * TOKENS_PER_BYTE) + frames * self.image_tokens


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the requests of a run would need at most.

    Attributes:
        requests: how many videos are to be asked about.
        tokens_in, tokens_out: tokens of all prompts and of all answers.
        dollars: their price.
        minutes: the time that the limit of requests a minute implies; 0 without a limit.
    """

    requests: int
    tokens_in: int
    tokens_out: int
    dollars: float
    minutes: float

    def to_text(self, limit: float) -> str:
        """Return the estimate in one line, with what the limit leaves of it."""
        text = (
            f"{self.requests:,} videos to ask about: at most {self.tokens_in:,} tokens in, {self.tokens_out:,} out, "
            f"${self.dollars:,.2f} of at most ${limit:,.2f}"
        )
        if self.minutes >= 1:
            text += f", {self.minutes:,.0f} minutes"
        if self.dollars > limit:
            text += f"; the limit is enough for about {int(self.requests * limit / self.dollars):,} of them"
        return text


def estimate(texts: Sequence[Mapping[str, str]], frames: int, prices: Prices, requests_per_minute: float) -> Estimate:
    """Return what asking about videos costs at most, if each has this many frames and no request is repeated.

    Args:
        texts: of each video, what `prompt.known_texts` returns. Speech that is not yet known is not counted.
        frames: the most frames of a video.
        prices: dollars and tokens.
        requests_per_minute: the limit; 0 for none.
    """
    tokens_in = sum(prices.tokens_in(each, frames) for each in texts)
    tokens_out = len(texts) * prices.max_answer_tokens
    minutes = len(texts) / requests_per_minute if requests_per_minute else 0.0
    return Estimate(len(texts), tokens_in, tokens_out, prices.cost(tokens_in, tokens_out), minutes)


class Budget:
    """The money of one run. Not thread-safe: the event loop of the requests uses it."""

    def __init__(self, limit: float, journal: Journal) -> None:
        """Continue an unfinished run of the journal, or begin one.

        Args:
            limit: dollars that the run may cost.
            journal: where money is recorded.
        """
        self.limit = limit
        self._journal = journal
        self._spent = journal.begin_run()
        self._highest = 0.0  # what one request has cost at most: the estimate may be too low

    @property
    def spent(self) -> float:
        """Dollars that this run has cost, reserved ones included."""
        return self._spent

    def reserve(self, estimated: float) -> tuple[int, float]:
        """Set money aside for a request.

        Returns:
            The number of the reservation, and its dollars.

        Raises:
            StoppedError: the limit does not allow it.
        """
        dollars = max(estimated, self._highest)
        if self._spent + dollars > self.limit:
            raise StoppedError(f"the spend limit of ${self.limit:,.2f} is reached; raise it with --max-cost")
        self._spent += dollars
        return self._journal.reserve(dollars), dollars

    def settle(self, reservation: tuple[int, float], dollars: float | None) -> None:
        """Replace a reservation by what the request has cost; None if that is not known: then it stays as it is."""
        number, reserved = reservation
        if dollars is None:
            return
        self._spent += dollars - reserved
        self._highest = max(self._highest, dollars)
        self._journal.settle(number, dollars)
