"""The policy, which decides which hypotheses are shown: rejection, de-duplication, safety and business rules.

Decisions depend on the input only: no clock, no store, no HTTP.
"""

from __future__ import annotations

import copy
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
"""The tokenizer decodes bytes that are not valid UTF-8 to this character."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A hypothesis as text. ``forced``: the deadline ended it, not the model."""

    query: str
    score: float
    is_reject: bool = False
    finished: bool = True
    forced: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """A candidate with its verdict and the rule that decided; None if no rule applied."""

    query: str
    score: float
    verdict: Literal["shown", "dropped"]
    rule: str | None = None
    forced: bool = False


@dataclass(frozen=True, slots=True)
class Exposure:
    """The decision of the policy: the queries to show, best first, or the reason for showing none."""

    shown: tuple[Judged, ...]
    judged: tuple[Judged, ...]
    reason: Reason | None


@dataclass(frozen=True, slots=True)
class Trigger:
    """What rules can depend on; ``recent_keys`` are the ``query_key`` of the queries recently shown to this user."""

    photo_id: str
    category: str | None = None
    recent_keys: Collection[str] = ()


class Policy:
    """Rules and prohibited terms, compiled once; safe to share between threads.

    Attributes:
        version: of the rules.
    """

    def __init__(self, rules: Rules, terms: ProhibitedTerms, reject_threshold: float) -> None:
        self.version = rules.version
        self._length = rules.length
        self._minimum_score = rules.minimum_score
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

    def at(self, reject_threshold: float) -> Policy:
        """Return this policy with the threshold of [REJECT] of another bundle. The compiled rules are shared."""
        if reject_threshold == self._reject_threshold:
            return self
        other = copy.copy(self)
        other._reject_threshold = reject_threshold
        return other

    def blocks_category(self, category: str | None) -> bool:
        """Return whether nothing is shown for videos of this category."""
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
            trigger: the video, its category, and the keys of recently shown queries.
            num_queries: the largest number of queries to show.
            deadline_reached: whether the deadline ended the generation; it is the reason if no query is left.
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
        """Return the first rule that drops a candidate, or None. Adds the key of a readable query to ``seen``."""
        if candidate.is_reject:
            return "reject_token"
        if not candidate.finished:
            return "unfinished"
        # A byte-level model can generate any bytes, also invalid UTF-8 and invisible characters.
        if _BROKEN_BYTES in candidate.query or not candidate.query.isprintable():
            return "unreadable"
        if self._minimum_score is not None and candidate.score < self._minimum_score:
            return "low_score"
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
