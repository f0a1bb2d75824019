"""What may be shown of what was generated: rejection, de-duplication, safety and business rules.

Pure functions of their input: no clock, no store, no HTTP.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from evidence.abstain import model_abstains
from evidence.safety import ProhibitedTerms
from evidence.whole_texts import WholeTexts
from service.answering.normalize import query_key
from service.answering.rules import Rules
from service.outcomes import Reason

PINNED_SCORE = 0.0
_BROKEN_BYTES = "\N{REPLACEMENT CHARACTER}"
"""What decoding leaves of tokens that are no whole UTF-8 character."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A hypothesis as text, in the order of its score; a forced one was given its end by the deadline."""

    query: str
    score: float
    is_reject: bool = False
    finished: bool = True
    forced: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """A candidate, what became of it, and the rule that decided (None where no rule spoke)."""

    query: str
    score: float
    verdict: Literal["shown", "dropped"]
    rule: str | None = None
    forced: bool = False


@dataclass(frozen=True, slots=True)
class Exposure:
    """The policy's answer: the queries to show, best first, or the reason for showing none."""

    shown: tuple[Judged, ...]
    judged: tuple[Judged, ...]
    reason: Reason | None


@dataclass(frozen=True, slots=True)
class Trigger:
    """What the rules may ask about a request; ``recent_keys`` are ``query_key`` of what this user was just shown."""

    photo_id: str
    category: str | None = None
    recent_keys: Collection[str] = ()


class Policy:
    """Rules and prohibited terms, compiled once; safe to share between threads."""

    def __init__(self, rules: Rules, terms: ProhibitedTerms, reject_threshold: float) -> None:
        self._length = rules.length
        self._terms = terms
        self._reject_threshold = reject_threshold
        self._blocked_categories = frozenset(rules.blocked_categories)
        self._blocked = WholeTexts(rules.blocked_queries)
        self._pinned_by_photo: dict[str, list[str]] = defaultdict(list)
        self._pinned_by_category: dict[str, list[str]] = defaultdict(list)
        for pinned in rules.pinned_queries:
            for photo_id in pinned.photo_ids:
                self._pinned_by_photo[photo_id].append(pinned.query)
            for category in pinned.categories:
                self._pinned_by_category[category].append(pinned.query)

    def blocks_category(self, category: str | None) -> bool:
        """Whether videos of this category show nothing at all."""
        return category in self._blocked_categories

    def decide(
        self,
        candidates: Sequence[Candidate],
        reject_probability: float,
        trigger: Trigger,
        num_queries: int,
        deadline_reached: bool = False,
    ) -> Exposure:
        """Judge every candidate and choose what is shown.

        Args:
            candidates: best first.
            reject_probability: P([REJECT]) at the first step.
            trigger: the request.
            num_queries: the most queries to show.
            deadline_reached: whether generation was cut, which is then the reason when nothing is left.
        """
        rejected = bool(candidates) and candidates[0].is_reject
        if model_abstains(reject_probability, self._reject_threshold, reject_is_best=rejected):
            return Exposure((), tuple(_judge(candidate, "reject_token") for candidate in candidates), "model_reject")
        judged: list[Judged] = []
        seen: set[str] = set()
        room = num_queries
        for query in self._pinned(trigger):
            rule = self._safety_rule(query, query_key(query), seen) or ("over_num_queries" if room == 0 else None)
            judged.append(Judged(query, PINNED_SCORE, "dropped" if rule else "shown", rule or "pinned"))
            room -= rule is None
        for candidate in candidates:
            rule = self._rule(candidate, trigger, seen) or ("over_num_queries" if room == 0 else None)
            judged.append(_judge(candidate, rule))
            room -= rule is None
        shown = tuple(item for item in judged if item.verdict == "shown")
        if shown:
            return Exposure(shown, tuple(judged), None)
        return Exposure((), tuple(judged), "deadline" if deadline_reached else "all_filtered")

    def _pinned(self, trigger: Trigger) -> list[str]:
        by_category = self._pinned_by_category.get(trigger.category, []) if trigger.category else []
        return self._pinned_by_photo.get(trigger.photo_id, []) + by_category

    def _rule(self, candidate: Candidate, trigger: Trigger, seen: set[str]) -> str | None:
        """The first rule that drops a candidate; notes its key in ``seen`` where it is a query at all."""
        if candidate.is_reject:
            return "reject_token"
        if not candidate.finished:
            return "unfinished"
        # A byte-level model can write any bytes, also those that are no characters, or none that can be seen.
        if _BROKEN_BYTES in candidate.query or not candidate.query.isprintable():
            return "unreadable"
        key = query_key(candidate.query)
        return (
            self._safety_rule(candidate.query, key, seen)
            or self._length_rule(candidate.query)
            or ("recently_shown" if key in trigger.recent_keys else None)
        )

    def _safety_rule(self, query: str, key: str, seen: set[str]) -> str | None:
        if not key:
            return "empty"
        if key in seen:
            return "duplicate"
        seen.add(key)
        if query in self._blocked:
            return "blocked_query"
        return "prohibited_term" if self._terms.find(query) else None

    def _length_rule(self, query: str) -> str | None:
        bounds = self._length
        if bounds is None:
            return None
        words = len(query.split())
        if len(query) < bounds.min_characters or words < bounds.min_words:
            return "too_short"
        return "too_long" if len(query) > bounds.max_characters or words > bounds.max_words else None


def _judge(candidate: Candidate, rule: str | None) -> Judged:
    return Judged(candidate.query, candidate.score, "dropped" if rule else "shown", rule, candidate.forced)
